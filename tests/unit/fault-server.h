/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fault-server.py, started and told what to do. Its certificates are in the test's folder (folder.h). */

#include "tests/unit/folder.h"
#include "tests/unit/test.h"

#include <signal.h>
#include <sys/wait.h>

#define FAULT_NODES 3

static struct {
        pid_t pid;
        FILE *to, *from;
        unsigned ports[FAULT_NODES];
} faults;

static inline int faults_start(void **state)
{
        const char *source = getenv("top_srcdir");
        char script[512], python[512], nodes[8], line[128];
        int to[2], from[2];

        if (access("/usr/bin/python3", X_OK) < 0 || access("/usr/bin/openssl", X_OK) < 0)
                exit(77);
        snprintf(script, sizeof(script), "%s/tests/unit/fault-server.py", source ? source : ".");
        snprintf(python, sizeof(python), "%s/tests/python", source ? source : ".");
        snprintf(nodes, sizeof(nodes), "%d", FAULT_NODES);
        if (test_folder_make(state) < 0 || pipe(to) < 0 || pipe(from) < 0)
                return -1;
        faults.pid = fork();
        if (faults.pid == 0) {
                dup2(to[0], 0);
                dup2(from[1], 1);
                close(to[1]);
                close(from[0]);
                execl(python, python, script, test_folder, nodes, NULL);
                _exit(127);
        }
        close(to[0]);
        close(from[1]);
        faults.to = fdopen(to[1], "w");
        faults.from = fdopen(from[0], "r");
        if (!fgets(line, sizeof(line), faults.from) ||
            sscanf(line, "%u %u %u", &faults.ports[0], &faults.ports[1], &faults.ports[2]) != FAULT_NODES)
                return -1;
        return 0;
}

static inline int faults_stop(void **state)
{
        kill(faults.pid, SIGKILL);
        waitpid(faults.pid, NULL, 0);
        fclose(faults.to);
        fclose(faults.from);
        return test_folder_remove(state);
}

/* Its answer, without the newline; valid until the next call. */
static inline const char *tell(unsigned node, const char *what)
{
        static char line[65536];

        fprintf(faults.to, "%u %s\n", node, what);
        fflush(faults.to);
        if (!fgets(line, sizeof(line), faults.from))
                fail_msg("the fault server has died");
        line[strcspn(line, "\n")] = '\0';
        return line;
}

static inline unsigned long told_number(unsigned node, const char *what)
{
        return strtoul(tell(node, what), NULL, 10);
}
