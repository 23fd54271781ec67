package peer

import (
	"crypto/rand"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"sync"
)

// Sessions is the login of the libraries that leave it to the host: a form that takes
// any password, and a cookie that leads to a session in memory. It is what a host would
// write at least.
type Sessions struct {
	people sync.Map // cookie -> who
}

// Person returns who is signed in. Otherwise it sends the browser to the login, and
// returns an empty string.
func (s *Sessions) Person(w http.ResponseWriter, r *http.Request) string {
	if cookie, err := r.Cookie("session"); err == nil {
		if who, ok := s.people.Load(cookie.Value); ok {
			return who.(string)
		}
	}
	http.Redirect(w, r, "/login?"+url.Values{"return_to": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
	return ""
}

// ServeHTTP is the login page.
func (s *Sessions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Sign in</title><h1>Sign in</h1><form method="post" action="/login">
<input type="hidden" name="return_to" value="%s"><input name="username" type="text"><input name="password" type="password">
<button type="submit">Sign in</button></form>`, html.EscapeString(r.FormValue("return_to")))
		return
	}
	who, back := r.PostFormValue("username"), r.PostFormValue("return_to")
	if who == "" || r.PostFormValue("password") == "" || len(back) < 2 || back[0] != '/' || back[1] == '/' {
		http.Error(w, "name and password, please", http.StatusUnprocessableEntity)
		return
	}
	id := rand.Text()
	s.people.Store(id, who)
	http.SetCookie(w, &http.Cookie{Name: "session", Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, back, http.StatusSeeOther)
}
