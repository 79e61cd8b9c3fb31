// Command coredns is the upstream server with the plugins that addons.yaml names and no others:
// upstream's own main compiles the SDKs of three clouds as well, and takes twice as long.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
)

func main() {
	// the order in which a query passes them, as upstream's plugin.cfg has it
	dnsserver.Directives = []string{
		"reload", "health", "ready", "errors", "cache", "loadbalance", "kubernetes", "forward",
	}
	coremain.Run()
}
