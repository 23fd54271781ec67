// Package attack holds the attacks of outsiders against the server, over real
// connections: every row of them is run over http on loopback and over TLS, and twice.
//
// A row says which request is attacked and what shows that it works, then each way of
// mangling it, and what must come of that. The unmodified request is sent first, since
// an attack on what doesn't work at all proves nothing. Each area is one file. Which
// threats there are, and which tests look into them, is in testdata/catalogue.txt.
//
// Whatever is sent, no answer may have a status of 5xx, tell a secret or send the browser
// to a place that nobody registered, and the log may hold no secret and no panic.
package attack
