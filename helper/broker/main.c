/* SPDX-License-Identifier: Apache-2.0 */
/* keybearerd: the privileged helper. See docs/ARCHITECTURE.md for the house it stands in. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "common/cleanup.h"
#include "directory/nss_publish.h"
#include "helper/broker/broker.h"
#include "helper/server/process.h"

static void on_stop(void *userdata)
{
        kb_broker_stop(userdata);
}

static bool is_idle(void *userdata)
{
        return kb_broker_idle(userdata);
}

static void on_reload(void *userdata)
{
        kb_broker_reload(userdata);
}

static int run(void)
{
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(kb_broker_freep) struct kb_broker *broker = NULL;
        int r = sd_event_new(&event);

        if (r >= 0)
                r = kb_broker_new(&broker, event);
        if (r < 0)
                return r;
        return kb_process_run(
                event, &(struct kb_process_hooks){
                               .stop = on_stop, .idle = is_idle, .reload = on_reload, .userdata = broker});
}

/* For the installation of the package: from then on, names that nobody has are known to be nobody's. */
static int publish_empty(void)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;
        _cleanup_close_ int folder = open(KB_STATEDIR "/nss", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = folder < 0 ? -errno : 0;

        if (r >= 0)
                r = kb_config_new(KB_CONFIG_FILE, &(struct kb_config_trust){.owner = 0}, &problems, &config);
        if (r >= 0)
                r = kb_nss_publish_empty(folder, config->id_range);
        if (r < 0)
                kb_process_log(LOG_ERR, "no names can be published in " KB_STATEDIR "/nss: %s",
                               strerror(-r));
        return r;
}

static const char usage[] = "usage: keybearerd [--version | --publish-empty]\n"
                            "It is started by systemd: systemctl start keybearerd. See keybearerd(8).\n";

int main(int argc, char *argv[])
{
        const char *option = argc == 2 ? argv[1] : "";

        if (strcmp(option, "--version") == 0) {
                puts("keybearerd " PACKAGE_VERSION);
                return 0;
        }
        if (strcmp(option, "--publish-empty") == 0)
                return publish_empty() < 0 ? 1 : 0;
        if (argc > 1) {
                fputs(usage, stderr);
                return 2;
        }
        kb_process_harden();
        return run() < 0 ? 1 : 0;
}
