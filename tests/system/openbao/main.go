// SPDX-License-Identifier: Apache-2.0

// OpenBao, server and command in one, as its own main package makes it.
package main

import (
	"os"

	"github.com/openbao/openbao/command"
)

func main() {
	os.Exit(command.Run(os.Args[1:]))
}
