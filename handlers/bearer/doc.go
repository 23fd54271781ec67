// Package bearer is what an API needs to accept access tokens: a middleware, two
// ways to verify a token, and the document by which clients find the authorization
// server. It links neither the protocol engine nor a database.
//
// An API in the same process as its authorization server takes the server itself as
// the verifier, which sees a revocation at once:
//
//	http.Handle("/notes", bearer.Require(idp, "notes:read")(notes))
//
// One elsewhere knows the issuer, and the resource identifier that tokens for it
// must name as their audience:
//
//	v, err := bearer.Remote("https://id.example.com", "https://api.example.com")
//	http.Handle("/notes", bearer.Require(v, "notes:read")(notes))
//
// The handler finds out who calls by FromContext. What is refused is answered with
// a challenge that tells the client what to do next: get a token, get a new one, or
// ask for more scopes. An API that clients must be able to find without being
// configured for it, as those of MCP do, also serves Metadata.
//
// Only the Authorization header is read. A handler that browsers call from another
// origin has its CORS layer around this one: a preflight carries no token, and this
// package sets no CORS header on the API's answers.
//
// RFC 6750, RFC 7662, RFC 8414, RFC 9068, RFC 9728
package bearer
