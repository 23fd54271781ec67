// Package handlers holds what a host touches of the authorization server, and the
// endpoints themselves, one file each.
//
// A host gives the server hooks. They have three shapes: Login and Consent decide
// and complete an Interaction explicitly; Claims shapes what tokens say and may
// veto, a Grant says whom tokens are about; an Event handler observes what is already
// durable. No hook runs while a commit is open.
//
// An interaction is an authorize request while a person is busy with it. Every
// arrow that changes it is one commit, together with the session and the grant:
//
//	GET authorize ── signed in, nothing to ask ──────────────────────▶ code
//	      │
//	      ├── somebody has to sign in ──▶ login ── Accept, nothing to ask ──▶ done (code)
//	      │                                 │
//	      │                                 └── Accept, consent needed ──┐
//	      │                                                              ▼
//	      └── signed in, consent needed ────────────────────────────▶ consent ── Allow ──▶ done (code)
//
//	login, or signed in ── a Step of the host's is needed ──▶ that step ── Done ──▶ as above
//	POST authorize ──▶ start ── GET: the cookies are there ──▶ as above
//	login, consent ── Deny, or prompt, max_age, id_token_hint not met ──▶ done (error)
//	consent ── the person signed out, or the client changed ──▶ start
//	done, or past its end ── Start again ──▶ the same request from the beginning
//
// It lives an hour, and can be started again for a day, or for two hours when nobody
// signed in. The browser that began it has a cookie for it; no other browser gets in.
// The same decision within a minute, by a double click, gets the same answer.
//
// Every answer is held back until it is whole: a panic in a hook is a clean 500.
// Every refusal is an engine.Error, written by refuseJSON or refusePage and nowhere
// else, with one line in the log and a row in the table of reasons.
package handlers
