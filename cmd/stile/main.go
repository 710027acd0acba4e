// Stile runs and uses coordination on etcd from a shell: a server, locks around commands, a demo.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:]))
}
