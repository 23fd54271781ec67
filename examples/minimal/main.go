// Command minimal is a small web application that has what most have: accounts, a
// login form and a session cookie of its own. The lines between "doorward" and
// "doorward end" make it an identity provider; nothing else of it was changed.
//
//	go run ./examples/minimal
//
// It listens on loopback and keeps doorward.db in the working directory. A client
// that knows http://localhost:8080 and the client ID notes-cli finds the rest by
// itself. The accounts are alice and bob, with the password "wonderland".
package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"

	// doorward
	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/bolt"
	// doorward end
)

// application is the notes application.
type application struct {
	mu       sync.Mutex
	sessions map[string]session // by the cookie's value
}

type session struct {
	user  string
	since time.Time
}

var passwords = map[string]string{"alice": "wonderland", "bob": "wonderland"}

// session returns who is signed in since when, the zero session for nobody.
func (a *application) session(r *http.Request) session {
	cookie, err := r.Cookie("notes_session")
	if err != nil {
		return session{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sessions[cookie.Value]
}

var home = template.Must(template.New("home").Parse(`<!doctype html><html lang="en"><title>Notes</title>
<h1>Notes</h1>{{with .}}<p>Good day, {{.}}. You have no notes yet.</p>
<form method="post" action="/logout"><button>Sign out</button></form>{{else}}<p><a href="/login">Sign in</a></p>{{end}}`))

func (a *application) home(w http.ResponseWriter, r *http.Request) { show(w, home, a.session(r).user) }

var loginPage = template.Must(template.New("login").Parse(`<!doctype html><html lang="en"><title>Sign in to Notes</title>
<h1>Sign in to Notes</h1>{{with .Error}}<p role="alert">{{.}}</p>{{end}}
<form method="post"><input type="hidden" name="return_to" value="{{.ReturnTo}}">
<p><label>Name <input name="name" autocomplete="username" required autofocus></label>
<p><label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<p><button>Sign in</button></form>`))

func (a *application) login(w http.ResponseWriter, r *http.Request) {
	data := struct{ ReturnTo, Error string }{ReturnTo: r.FormValue("return_to")}
	if r.Method == http.MethodPost {
		name, password := r.PostFormValue("name"), r.PostFormValue("password")
		want, known := passwords[name]
		if subtle.ConstantTimeCompare([]byte(password), []byte(want)) == 1 && known {
			token := rand.Text()
			a.mu.Lock()
			a.sessions[token] = session{user: name, since: time.Now()}
			a.mu.Unlock()
			http.SetCookie(w, &http.Cookie{Name: "notes_session", Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
			http.Redirect(w, r, own(r, data.ReturnTo), http.StatusSeeOther)
			return
		}
		data.Error = "This name and password do not belong together."
	}
	show(w, loginPage, data)
}

// own returns where to go after the login: a page of this application and no other.
func own(r *http.Request, returnTo string) string {
	u, err := url.Parse(returnTo)
	if err != nil || u.Host != "" && u.Host != r.Host || !strings.HasPrefix(u.Path, "/") {
		return "/"
	}
	return (&url.URL{Path: "/" + strings.TrimLeft(u.Path, "/\\"), RawQuery: u.RawQuery}).String()
}

func (a *application) logout(w http.ResponseWriter, r *http.Request) {
	a.forget(w, r)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// forget ends the session.
func (a *application) forget(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie("notes_session"); err == nil {
		a.mu.Lock()
		delete(a.sessions, cookie.Value)
		a.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{Name: "notes_session", Path: "/", MaxAge: -1})
}

func show(w http.ResponseWriter, page *template.Template, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := page.Execute(w, data); err != nil {
		log.Print(err)
	}
}

// routes are the pages of the application. Its forms take no POST of other sites.
func (a *application) routes() *mux.Router {
	guard, r := http.NewCrossOriginProtection(), mux.NewRouter()
	r.HandleFunc("/", a.home)
	r.Handle("/login", guard.Handler(http.HandlerFunc(a.login)))
	r.Handle("/logout", guard.Handler(http.HandlerFunc(a.logout))).Methods(http.MethodPost)
	return r
}

// doorward
func (a *application) subject(r *http.Request) (handlers.Subject, error) {
	s := a.session(r)
	return handlers.Subject{ID: s.user, AuthTime: s.since}, nil // no ID: nobody is signed in
}

// doorward end

func run(ctx context.Context, address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%w; stop the program that uses this port, or write another one in main", err)
	}
	defer l.Close()
	app := &application{sessions: map[string]session{}}
	routes := app.routes()
	// doorward
	backend, err := bolt.Open("doorward.db")
	if err != nil {
		return err
	}
	defer backend.Close()
	idp, err := server.New(ctx, server.Config{
		Issuer: "http://" + address,
		Store:  backend,
		Login:  handlers.ExistingSession{CurrentUser: app.subject, LoginURL: "/login"},
		Scopes: []server.Scope{{Name: "notes:read", Description: "Read your notes"}},
		Clients: []storage.Client{{
			ID: "notes-cli", Name: "Notes for the terminal", TokenEndpointAuthMethod: storage.AuthMethodNone,
			RedirectURIs: []string{"http://127.0.0.1/callback"}, Scope: "openid offline_access notes:read",
		}},
	})
	if err != nil {
		return err
	}
	if err := idp.Mount(routes); err != nil {
		return err
	}
	go idp.Run(ctx)
	// doorward end
	fmt.Println("Notes: http://" + address)
	web := &http.Server{Handler: routes, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { web.Close() })()
	if err := web.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, "localhost:8080"); err != nil {
		log.Fatal(err)
	}
}
