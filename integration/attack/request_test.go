package attack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// request is a request before it is sent, so that an attack can change it.
type request struct {
	method string
	path   string // of the server, or a whole URL
	query  url.Values
	raw    string // query in place of that
	header http.Header
	form   url.Values
	body   string // in place of the form
	by     *browser
	id     string // of the client, by HTTP Basic
	secret string
}

// answer is what came of it, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	at     *url.URL
}

const formType = "application/x-www-form-urlencoded"

func get(path string) *request {
	return &request{method: http.MethodGet, path: path, query: url.Values{}, header: http.Header{}}
}

func post(path string, form url.Values) *request {
	return &request{method: http.MethodPost, path: path, form: form, query: url.Values{}, header: http.Header{"Content-Type": {formType}}}
}

// as authenticates the client.
func (r *request) as(id, secret string) *request {
	r.id, r.secret = id, secret
	return r
}

func (r *request) from(b *browser) *request {
	r.by = b
	return r
}

// set writes a form field, or a parameter of the query where there is no form.
func set(name string, values ...string) func(*request) {
	return func(r *request) {
		to := r.query
		if r.form != nil {
			to = r.form
		}
		if len(values) == 0 {
			to.Del(name)
			return
		}
		to[name] = values
	}
}

func header(name string, values ...string) func(*request) {
	return func(r *request) {
		if len(values) == 0 {
			r.header.Del(name)
			return
		}
		r.header[http.CanonicalHeaderKey(name)] = values
	}
}

// each makes a mutation of every value of a parameter.
func each(name string, values ...string) []mutation {
	list := make([]mutation, 0, len(values))
	for _, value := range values {
		list = append(list, mutation{name: fmt.Sprintf("%s=%.120q", name, value), change: set(name, value)})
	}
	return list
}

// url is where the request goes.
func (r *request) url(issuer string) string {
	to := r.path
	if !strings.Contains(to, "://") {
		to = issuer + to
	}
	query := r.raw
	if query == "" {
		query = r.query.Encode()
	}
	if query != "" {
		to += "?" + query
	}
	return to
}

// send sends a request and follows nothing. Whatever it is, the answer is none of the
// server's own failures, tells nothing that it was told in confidence, and leads nowhere
// that nobody registered.
func (s *stage) send(r *request) *answer {
	s.t.Helper()
	body := r.body
	if body == "" {
		body = r.form.Encode()
	}
	sent, err := http.NewRequest(r.method, r.url(s.issuer), strings.NewReader(body))
	if err != nil {
		s.t.Fatalf("the attack can't be sent: %v", err)
	}
	maps.Copy(sent.Header, r.header)
	if host := r.header.Get("Host"); host != "" {
		sent.Host = host
		sent.Header.Del("Host")
	}
	if r.id != "" {
		sent.SetBasicAuth(url.QueryEscape(r.id), url.QueryEscape(r.secret))
	}
	client := s.client(r.by)
	got, err := client.Do(sent)
	if err != nil {
		s.t.Fatalf("%s %.200s: %v", r.method, r.url(s.issuer), err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		s.t.Fatalf("%s %.200s: %v", r.method, r.url(s.issuer), err)
	}
	a := &answer{status: got.StatusCode, header: got.Header, body: text, at: sent.URL}
	s.inspect(r, a)
	return a
}

// confidential are the parameters whose values are never told again.
var confidential = []string{
	"client_secret", "password", "code", "code_verifier", "refresh_token", "client_assertion", "token", "device_code",
}

// inspect looks at what holds for every answer, and keeps the secrets that it gives out.
func (s *stage) inspect(r *request, a *answer) {
	s.t.Helper()
	if a.status >= 500 {
		s.t.Errorf("the server failed: %s", a)
	}
	for name := range a.header {
		if strings.HasPrefix(name, "X-Injected") {
			s.t.Errorf("a header was injected: %s", a)
		}
	}
	if to := a.location(); to != nil && !s.registered(to) {
		s.t.Errorf("the browser is sent to %q, which nobody registered", to)
	}
	whole := string(a.body) + fmt.Sprint(a.header)
	secrets := []string{r.secret, strings.TrimPrefix(strings.TrimPrefix(r.header.Get("Authorization"), "Bearer "), "DPoP "), secretOfWeb, secretOfOther, secretOfAPI}
	for _, name := range confidential {
		secrets = append(secrets, r.form[name]...)
	}
	for _, word := range []string{"goroutine ", "runtime error", "fosite"} {
		if strings.Contains(whole, word) {
			s.t.Errorf("the answer tells of the inside of the server: %s", a)
		}
	}
	given := []string{a.text("refresh_token"), a.text("registration_access_token")}
	for _, secret := range secrets {
		if len(secret) >= 16 && strings.Contains(whole, secret) && !slices.Contains(given, secret) {
			s.t.Errorf("the answer repeats a secret: %s", a)
		}
	}
	for _, name := range []string{"access_token", "refresh_token", "id_token", "device_code", "client_secret", "registration_access_token"} {
		s.keep(a.text(name))
	}
	if to := a.location(); to != nil {
		s.keep(to.Query().Get("code"))
	}
	for _, cookie := range (&http.Response{Header: a.header}).Cookies() {
		s.keep(cookie.Value)
	}
	for _, name := range confidential {
		if value := r.form.Get(name); a.status < 300 {
			s.keep(value)
		}
	}
}

// registered says whether a client registered this place, or it is the server itself.
func (s *stage) registered(to *url.URL) bool {
	home, _ := url.Parse(s.issuer)
	if to.Scheme == home.Scheme && to.Host == home.Host && to.User == nil {
		return true
	}
	if to.Scheme == "https" && to.Host == "notes.test" && to.Path == "/cb" && to.User == nil { // of the clients that nobody entered
		return true
	}
	for _, c := range s.cast() {
		for _, uri := range append(c.RedirectURIs, c.PostLogoutRedirectURIs...) {
			own, err := url.Parse(uri)
			if err != nil {
				continue
			}
			loopback := own.Scheme == "http" && own.Hostname() == "127.0.0.1" && to.Hostname() == "127.0.0.1"
			if to.Scheme == own.Scheme && (to.Host == own.Host || loopback) && to.User == nil && to.EscapedPath() == own.EscapedPath() && to.Fragment == "" && to.Opaque == own.Opaque {
				return true
			}
		}
	}
	return false
}

// location is where the browser is sent, nil for nowhere.
func (a *answer) location() *url.URL {
	to := a.header.Get("Location")
	if to == "" {
		return nil
	}
	u, err := a.at.Parse(to)
	if err != nil {
		return &url.URL{Scheme: "unreadable", Opaque: to}
	}
	return u
}

// field is a member of a JSON object.
func (a *answer) field(name string) any {
	var object map[string]any
	if json.NewDecoder(bytes.NewReader(a.body)).Decode(&object) != nil {
		return nil
	}
	return object[name]
}

func (a *answer) text(name string) string {
	s, _ := a.field(name).(string)
	return s
}

// failure is the code of an error, from the body or from where the browser is sent.
func (a *answer) failure() string {
	if to := a.location(); to != nil {
		return to.Query().Get("error")
	}
	return a.text("error")
}

// verdict is the answer in a word or two, the same in every run.
func (a *answer) verdict(issuer string) string {
	told := fmt.Sprint(a.status)
	if to := a.location(); to != nil {
		place := url.URL{Scheme: to.Scheme, Host: to.Host, Path: to.Path, Opaque: to.Opaque}
		told += " to " + strings.ReplaceAll(place.String(), issuer, "issuer")
	}
	if code := a.failure(); code != "" {
		told += " " + code
	}
	if active := a.field("active"); active != nil {
		told += fmt.Sprint(" active=", active)
	}
	return told
}

func (a *answer) String() string {
	return fmt.Sprintf("%d from %.300s, location %q, challenge %q\n%.300s", a.status, a.at, a.header.Get("Location"), a.header.Get("WWW-Authenticate"), a.body)
}

func (s *shared) home() *url.URL {
	u, err := url.Parse(s.issuer)
	if err != nil {
		return nil
	}
	return u
}
