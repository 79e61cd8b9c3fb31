// Command etcd is the upstream server: Debian's etcd 3.4 is too old for the API server's watch cache.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
