package main

import (
	"time"

	"github.com/doorward/doorward/bench/peer"
)

// row is a line of the comparison: an operation, what the servers are started with, and
// the lines that ours is to reach.
type row struct {
	title     string
	operation string
	options   peer.Options
	nodeAlg   string            // of node where it is another
	leaves    map[string]string // peers that are left out, and why
	// atLeast is which ratio ours is to reach, by the name of the peer.
	atLeast map[string]float64
	// cpu is the processor time of the server for one operation, at most; 0: no line.
	cpu time.Duration
}

// of returns what a program is started with.
func (r row) of(p program) peer.Options {
	o := r.options
	if p.name == "node" && r.nodeAlg != "" {
		o.Algorithm = r.nodeAlg
	}
	return o
}

// rows are the lines of the comparison.
func rows() []row {
	opaque := peer.Options{Algorithm: "ES256"}
	signed := peer.Options{Algorithm: "ES256", JWT: true}
	rsa := peer.Options{Algorithm: "RS256", JWT: true}
	onlyStore := map[string]string{"go-oauth2-file": "what differs from the memory store is in the row of opaque tokens"}
	onlyRSA := map[string]string{"go-oauth2-file": onlyStore["go-oauth2-file"], "ceiling": "the signature takes most of it; see ES256"}
	lines := func(ceiling, node, fosite float64) map[string]float64 {
		return map[string]float64{"ceiling": ceiling, "node": node, "fosite": fosite}
	}
	us := func(n int) time.Duration { return time.Duration(n) * time.Microsecond }
	return []row{
		{title: "client credentials, opaque", operation: "client-credentials", options: opaque, atLeast: lines(0.40, 2.5, 0.85), cpu: us(80)},
		{title: "client credentials, ES256 JWT (node: RS256)", operation: "client-credentials", options: signed, nodeAlg: "RS256", leaves: onlyStore, atLeast: lines(0.35, 6, 1.2), cpu: us(100)},
		{title: "client credentials, RS256 JWT", operation: "client-credentials", options: rsa, leaves: onlyRSA, atLeast: lines(0, 0.8, 1.2), cpu: us(950)},
		{title: "code flow with a login, ES256", operation: "login", options: opaque, atLeast: lines(0, 7, 0.85), cpu: us(420)},
		{title: "code flow, signed in, ES256", operation: "signed-in", options: opaque, atLeast: lines(0, 7, 0.9), cpu: us(320)},
		{title: "refresh, ES256", operation: "refresh", options: opaque, atLeast: lines(0, 2, 1.0), cpu: us(210)},
		{title: "introspection, opaque", operation: "introspection", options: opaque, atLeast: lines(0.60, 4, 0.95), cpu: us(45)},
		{title: "userinfo", operation: "userinfo", options: opaque, atLeast: lines(0.65, 3.4, 0.9), cpu: us(42)},
		{title: "discovery", operation: "discovery", options: opaque, atLeast: lines(0.90, 2.5, 1.2), cpu: us(20)},
		{title: "JWKS", operation: "jwks", options: opaque, atLeast: lines(0.90, 2.5, 1.2), cpu: us(20)},
		{title: "client credentials, then revocation", operation: "revocation", options: opaque},
		{title: "pushed request", operation: "par", options: opaque},
	}
}
