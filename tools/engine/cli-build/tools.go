//go:build tools

// Package tools pins the Pulumi CLI so that go.sum lists all of its dependencies.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
