package pages

import "time"

// Sample is a page with data as a person may meet it.
type Sample struct {
	Name string // "login", "login-wrong"
	Page Page
}

// Samples are complete data for every page, in all its states that look different.
// New tries each page with them, so that a replaced page that asks for what does not
// exist fails at start and not before a person. Preview shows them.
func Samples(l *Language) []Sample {
	client := Client{Name: "Notes", URI: "https://notes.example", Host: "notes.example"}
	local := Client{Name: "Notes for the terminal", Host: l.Say("place.scheme", "scheme", "com.example.notes"), Local: true, FirstParty: true}
	form := Form{Action: "/oauth/interaction/sample?step=login"}
	const id = "k3v9x2m7q4w8z1n5"
	scopes := []Scope{{Name: "openid", Description: l.Scope("openid", "")}, {Name: "email", Description: l.Scope("email", "")}, {Name: "notes:read", Description: l.Scope("notes:read", "Read your notes")}}
	failed := func(title, message, advice string) Error {
		return Error{Title: l.Say(title), Message: l.Say(message), Advice: l.Say(advice), Help: "https://id.example/errors#invalid_request", RequestID: id}
	}
	developer := failed("error.redirect.title", "error.redirect", "error.request.advice")
	developer.Problem = "The redirect_uri is not registered for this client."
	developer.Detail = "redirect_uri_mismatch\nreceived https://notes.example/cb/, registered https://notes.example/cb: extra trailing slash\nSetting: Client.RedirectURIs"
	host := failed("error.host.title", "error.request", "error.request.advice")
	host.Message = l.Say("error.host", "opened", "127.0.0.1:8080", "right", "localhost:8080")
	host.Advice = l.Say("error.host.advice", "right", "localhost:8080")
	return append([]Sample{
		{"login", Login{Form: form, Client: client}},
		{"login-wrong", Login{Form: form, Client: client, Username: "alice", Error: l.Say("login.wrong")}},
		{"login-again", Login{Form: form, Client: local, Username: "alice", Error: l.Say("login.slow.minutes", "n", 15), Reauth: true}},
		{"login-remember", Login{Form: form, Client: client, AskRemember: true}},
		{"accounts", Accounts{Form: form, Client: client, List: []Account{{"1", "Alice Liddell"}, {"2", "a.very.long.address@department.example.org"}}}},
		{"consent", Consent{Form: form, Client: client, Account: "Alice Liddell", Scopes: scopes, Claims: []Claim{{"birthdate", "See your date of birth", true}}, Offline: true}},
		{"consent-choice", Consent{
			Form: form, Client: client, Account: "Alice Liddell", Choice: true, Offline: true, OfflineOptional: true,
			Scopes: append(scopes[:2:2], Scope{Name: "notes:write", Description: l.Scope("notes:write", "Write notes"), Optional: true}),
		}},
		{"consent-first-party", Consent{Form: form, Client: local, Account: "alice"}},
		{"error", failed("error.request.title", "error.request", "error.request.advice")},
		{"error-developer", developer},
		{"error-server", failed("error.server.title", "error.server", "error.server.advice")},
		{"error-foreign", failed("error.foreign.title", "error.foreign", "error.foreign.cookies")},
		{"error-host", host},
		{"error-bare", Error{Title: l.Say("error.wait.title"), RequestID: id}},
		{"expired", Expired{Form: form, Title: l.Say("expired.title"), Message: l.Say("expired.old"), RequestID: id}},
		{"expired-used", Expired{Form: form, Title: l.Say("expired.used.title"), Message: l.Say("expired.used"), RequestID: id}},
		{"expired-unknown", Expired{Title: l.Say("expired.title"), Message: l.Say("expired.unknown"), RequestID: id}},
		{"device", Device{Form: form}},
		{"device-link", Device{Form: form, Code: "WDJB-MJHT"}},
		{"device-wrong", Device{Form: form, Code: "WDJB-MJHT", Error: l.Say("device.unknown")}},
		{"device-consent", DeviceConsent{Form: form, Client: client, Account: "Alice Liddell", Scopes: scopes, Offline: true, Address: "192.0.2.1", UserAgent: "NotesTV/4.1 (Living room)"}},
		{"device-consent-unknown", DeviceConsent{Form: form, Client: client, Account: "alice"}},
		{"device-done", DeviceDone{Client: "Notes"}},
		{"device-denied", DeviceDone{Client: "Notes", Denied: true}},
		{"logout", Logout{Form: form, Account: "Alice Liddell", Client: "Notes"}},
		{"logout-all", Logout{Form: form, Account: "Alice Liddell", Client: "Notes", All: true}},
		{"logout-bare", Logout{Form: form}},
		{"signed-out", SignedOut{}},
		{"signed-out-apps", SignedOut{Frames: []Frame{{"https://notes.example/out?iss=x&sid=y", "Notes"}}, Continue: "https://notes.example/bye"}},
		{"signed-out-app", SignedOut{Frames: []Frame{{"https://notes.example/out", "Notes"}}}},
		{"stayed", SignedOut{Stayed: true}},
		{"form-post", FormPost{Client: "Notes", URL: "https://notes.example/cb", Fields: []Field{{"code", "x"}}, Script: "/assets/none.js"}},
		{"return", Return{Client: "Notes", URL: "com.example.notes:/cb"}},
		{"return-failed", Return{Client: "Notes", URL: "com.example.notes:/cb", Failed: true}},
		{"reasons", Reasons{List: []Reason{
			{Anchor: "redirect_uri_mismatch", Code: "invalid_request", What: "The redirect_uri is not one that is registered.", Change: "Register the URI that the client sends."},
			{Anchor: "invalid_grant", Code: "invalid_grant", What: "The code is unknown, expired or used."},
		}}},
	}, accountSamples(form, scopes)...)
}

// accountSamples are those of the pages of a person's own account.
func accountSamples(form Form, scopes []Scope) []Sample {
	day := time.Date(2030, 5, 3, 14, 0, 0, 0, time.UTC)
	app := App{Name: "Notes", Scopes: scopes, Offline: true, Since: day, LastUsed: day.AddDate(0, 2, 9), Remove: "/oauth/account/apps?app=notes"}
	here := Session{ID: "1", Browser: "Chrome", System: "macOS", Address: "198.51.100.7", Current: true, Since: day, SeenAt: day}
	return []Sample{
		{"apps", Apps{Account: "Alice Liddell", List: []App{app, {Name: "Never used", Since: day, Remove: "/oauth/account/apps?app=never"}}, Removed: true, Sessions: "/oauth/account/sessions"}},
		{"apps-none", Apps{Account: "alice"}},
		{"remove-app", RemoveApp{Form: form, ID: "notes", Token: "x", App: app}},
		{"sessions", Sessions{
			Form: form, Token: "x", Account: "Alice Liddell", Others: true, Ended: true, Apps: "/oauth/account/apps", SignOut: "/oauth/logout",
			List: []Session{here, {ID: "2", Browser: "Firefox", System: "Windows", Address: "192.0.2.1", Since: day, SeenAt: day}, {ID: "3", Since: day, SeenAt: day}},
		}},
		{"sessions-one", Sessions{Form: form, Token: "x", Account: "alice", List: []Session{{ID: "1", Current: true, Since: day, SeenAt: day}}}},
	}
}
