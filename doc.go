// Package doorward is the map of the module; it holds no code.
//
// Doorward is an authorization server that a Go product builds into itself: OAuth 2.1
// and OpenID Connect on the product's own mux, with the product's own users and login
// page, its state in one file.
//
// Where to begin:
//
//   - server is the provider: Config, New, Mount, Handler, Run. Its one mount list names
//     every endpoint there is. server/servertest is a real provider inside go test.
//   - handlers is what a host touches (Login, Consent, Claims, Subject, Interaction,
//     Event) and one file per endpoint. handlers/pages holds the built-in pages,
//     handlers/bearer what an API needs to accept tokens.
//   - storage is the contract of a database (Backend) and everything above it (Store).
//     storage/bolt and storage/memory are backends; storage/storagetest is the suite
//     that every backend passes.
//   - internal/engine is the protocol engine and the one package that knows fosite.
//     Every other folder under internal has the one job its name says.
//   - examples/idp is a complete identity provider in one binary; examples/minimal adds
//     a provider to an existing web application; examples/custom-login has its own page.
//   - integration tests the whole through real HTTP, real clients and a real browser.
//
// Imports point one way:
//
//	examples, integration -> server -> handlers -> internal/engine -> internal/keyring -> storage -> the other internal packages
//
// A package may import what stands to its right. internal/architecture holds this and
// the other rules of the house in tests. DESIGN.md says why the house looks like this.
package doorward
