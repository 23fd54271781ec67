// Package server composes the authorization server. New checks a Config and makes a
// Server, Mount puts it on a router (Handler suits any other), and Run does what is
// due in the background:
//
//	idp, err := server.New(ctx, server.Config{
//		Issuer: "https://app.example.com",
//		Store:  backend,
//		Login:  handlers.ExistingSession{CurrentUser: currentUser, LoginURL: "/login"},
//	})
//	...
//	err = idp.Mount(routes)
//	go idp.Run(ctx)
//
// # What is mounted
//
// Under the path of the issuer and Config.Prefix, which is /oauth when it is empty:
//
//	/authorize         authorization endpoint, RFC 6749 §3.1
//	/interaction/{id}  the pages for a person, and the host's Login and Consent
//	/token             token endpoint, RFC 6749 §3.2
//	/revoke            RFC 7009
//	/introspect        RFC 7662
//	/userinfo          OpenID Connect Core §5.3
//	/jwks              RFC 7517
//	/logout            OpenID Connect RP-Initiated Logout, where there is a session to end
//	/assets/{name}     stylesheet, icon, logo, script
//
// and besides, /errors under the path of the issuer, which says what every error
// means, and the metadata at every place where clients look:
// /.well-known/openid-configuration and /.well-known/oauth-authorization-server, of
// an issuer with a path both before and behind the path. OpenID Connect Discovery §4,
// RFC 8414 §3.1
//
// A path is served as it is spelled and in no other form.
//
// # Beside HTTP
//
// Clients makes and changes clients, Grants and the Revoke methods are for a page of
// connected apps and for administrators, Verify checks tokens for an API in the same
// process (bearer.Require calls it), Interaction resumes a login that ended elsewhere,
// Store keeps records of the host's own, Ready is for a health check. Package
// servertest is the whole of it inside a unit test.
package server
