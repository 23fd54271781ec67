package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/oauth2"

	"github.com/doorward/doorward/storage"
)

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
	at     *url.URL // where it came from
}

// location is where the reply sends the browser, nil for nowhere.
func (r *reply) location() *url.URL {
	to := r.header.Get("Location")
	if to == "" || r.status < 300 || r.status > 399 {
		return nil
	}
	u, err := r.at.Parse(to)
	if err != nil {
		return nil
	}
	return u
}

// field returns a member of a JSON object by its path, as in "cnf.jkt".
func (r *reply) field(path string) (any, bool) {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(r.body))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return nil, false
	}
	for name := range strings.SplitSeq(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, ok = object[name]; !ok {
			return nil, false
		}
	}
	return value, true
}

// text is a member as a string, empty when there is none.
func (r *reply) text(path string) string {
	value, ok := r.field(path)
	if !ok {
		return ""
	}
	return plain(value)
}

// plain writes a JSON value as scripts do: strings without quotes.
func plain(value any) string {
	if s, ok := value.(string); ok {
		return s
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(encoded)
}

func (r *reply) String() string {
	s := fmt.Sprintf("%d from %s", r.status, r.at)
	if to := r.header.Get("Location"); to != "" {
		s += " to " + to
	}
	body := r.body
	if len(body) > 2000 {
		body = body[:2000]
	}
	return s + "\n" + string(body)
}

// send sends one request and reads the answer, following nothing.
func send(client *http.Client, method, address string, header http.Header, body string) (*reply, error) {
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	return &reply{status: answer.StatusCode, header: answer.Header, body: text, at: answer.Request.URL}, nil
}

// person is somebody at a browser of their own.
type person struct {
	issuer string
	client *http.Client
	last   *reply
}

// newPerson opens a browser. transport reaches the provider.
func newPerson(issuer string, transport http.RoundTripper) *person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil // it has no options that could be wrong
	}
	return &person{issuer: issuer, client: &http.Client{
		Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (s *site) person() *person { return newPerson(s.issuer, s.transport) }

// open opens a page and follows where it leads within the provider.
func (p *person) open(address string) (*reply, error) {
	answer, err := send(p.client, http.MethodGet, address, nil, "")
	if err != nil {
		return nil, err
	}
	return p.follow(answer)
}

func (p *person) follow(answer *reply) (*reply, error) {
	home, err := url.Parse(p.issuer)
	if err != nil {
		return nil, err
	}
	for range 10 {
		to := answer.location()
		if to == nil || to.Host != home.Host {
			p.last = answer
			return answer, nil
		}
		if answer, err = send(p.client, http.MethodGet, to.String(), nil, ""); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the redirects do not end")
}

// submit sends the first form of the page that has all these fields.
func (p *person) submit(fields url.Values) (*reply, error) {
	answer, err := p.press(fields)
	if err != nil {
		return nil, err
	}
	return p.follow(answer)
}

// press sends a form without following the answer.
func (p *person) press(fields url.Values) (*reply, error) {
	to, body, err := p.filled(fields)
	if err != nil {
		return nil, err
	}
	return p.send(to, body)
}

// filled returns where the first form of the page that has all these fields goes, and
// with what.
func (p *person) filled(fields url.Values) (to, body string, err error) {
	if p.last == nil {
		return "", "", errors.New("no page is open")
	}
	forms, err := p.last.forms()
	if err != nil {
		return "", "", err
	}
	for _, f := range forms {
		filled, ok := f.fill(fields)
		if !ok {
			continue
		}
		at, err := p.last.at.Parse(f.action)
		if err != nil {
			return "", "", err
		}
		return at.String(), filled.Encode(), nil
	}
	return "", "", fmt.Errorf("no form of the page has the fields %v:\n%s", fields, p.last)
}

// send sends a form of the provider's own as a browser does.
func (p *person) send(to, body string) (*reply, error) {
	at, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	return send(p.client, http.MethodPost, to, http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {at.Scheme + "://" + at.Host}, "Sec-Fetch-Site": {"same-origin"},
	}, body)
}

// form is a form of a page.
type form struct {
	action string
	fields url.Values // what would be sent by itself
	names  []string   // of all controls
	button url.Values // names and values of its buttons
}

func (f *form) fill(with url.Values) (url.Values, bool) {
	filled := url.Values{}
	for name, values := range f.fields {
		filled[name] = values
	}
	for name, values := range with {
		if !slices.Contains(f.names, name) && !slices.Contains(f.button[name], values[0]) {
			return nil, false
		}
		filled[name] = values
	}
	return filled, true
}

// forms reads the forms of a page.
func (r *reply) forms() ([]*form, error) {
	root, err := html.Parse(bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	var forms []*form
	var current *form
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode {
			switch n.Data {
			case "form":
				current = &form{action: attribute(n, "action"), fields: url.Values{}, button: url.Values{}}
				forms = append(forms, current)
			case "input", "button":
				name := attribute(n, "name")
				switch {
				case current == nil || name == "":
				case n.Data == "button":
					current.button.Add(name, attribute(n, "value"))
				default:
					current.names = append(current.names, name)
					current.fields.Set(name, attribute(n, "value"))
				}
			}
		}
		for child := n.FirstChild; child != nil; child = child.NextSibling {
			walk(child)
		}
		if n.Type == html.ElementNode && n.Data == "form" {
			current = nil
		}
	}
	walk(root)
	return forms, nil
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// has says whether the page has a form with these fields.
func (r *reply) has(fields url.Values) bool {
	forms, err := r.forms()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(forms, func(f *form) bool { _, ok := f.fill(fields); return ok })
}

// signIn walks from an authorize URL through the pages until the client is answered.
func (p *person) signIn(authorize, name string) (*reply, error) {
	answer, err := p.open(authorize)
	if err != nil {
		return nil, err
	}
	if answer.has(url.Values{"username": {""}}) {
		if answer, err = p.submit(url.Values{"username": {name}, "password": {people[name]}}); err != nil {
			return nil, err
		}
	}
	if answer.has(url.Values{"decision": {"allow"}}) {
		if answer, err = p.submit(url.Values{"decision": {"allow"}}); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// endpoint returns the URL of an endpoint by its name, or of a path of the origin.
func (s *site) endpoint(name string) string {
	switch {
	case strings.HasPrefix(name, "http://"), strings.HasPrefix(name, "https://"):
		return name
	case strings.HasPrefix(name, "/"):
		u, err := url.Parse(s.issuer)
		if err != nil {
			return name
		}
		return u.Scheme + "://" + u.Host + name
	default:
		return s.issuer + "/oauth/" + name
	}
}

// authorizeURL is the request of a client with what every client sends, changed by
// extra: an empty value leaves a parameter out.
func (s *site) authorizeURL(client string, extra url.Values) (address, verifier string) {
	verifier = oauth2.GenerateVerifier()
	return s.endpoint("authorize") + "?" + s.authorizeParams(client, verifier, extra).Encode(), verifier
}

func (s *site) authorizeParams(client, verifier string, extra url.Values) url.Values {
	params := url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {s.redirectURI(client)},
		"scope": {"openid profile offline_access"}, "state": {"state-1"}, "nonce": {"nonce-1"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	for name, values := range extra {
		if len(values) == 1 && values[0] == "" {
			params.Del(name)
			continue
		}
		params[name] = values
	}
	return params
}

func (s *site) redirectURI(client string) string {
	if c := s.known(client); c != nil && len(c.RedirectURIs) > 0 {
		return c.RedirectURIs[0]
	}
	return "https://" + client + ".test/cb"
}

// code signs a person in and returns the code that the client got.
func (s *site) code(p *person, client, name string, extra url.Values) (code, verifier string, err error) {
	address, verifier := s.authorizeURL(client, extra)
	answer, err := p.signIn(address, name)
	if err != nil {
		return "", "", err
	}
	back := answer.location()
	if back == nil || back.Query().Get("code") == "" {
		return "", "", fmt.Errorf("the client got no code: %s", answer)
	}
	return back.Query().Get("code"), verifier, nil
}

// post sends a form to an endpoint as a client does: with its credentials in the
// header, or its name alone when it has none. An empty client sends neither.
func (s *site) post(endpoint, client string, fields url.Values) (*reply, error) {
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	sent := url.Values{}
	for name, values := range fields {
		sent[name] = values
	}
	if c := s.known(client); c != nil && !c.Public() {
		header.Set("Authorization", basicHeader(c.ID, c.Secret))
	} else if client != "" && !sent.Has("client_id") {
		sent.Set("client_id", client)
	}
	return send(&http.Client{Transport: s.transport}, http.MethodPost, s.endpoint(endpoint), header, sent.Encode())
}

func basicHeader(id string, secret storage.Secret) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(string(secret)))
	return r.Header.Get("Authorization")
}

// exchange redeems a code.
func (s *site) exchange(client, code, verifier string, extra url.Values) (*reply, error) {
	return s.post("token", client, changed(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {s.redirectURI(client)}, "code_verifier": {verifier},
	}, extra))
}

// refresh uses a refresh token.
func (s *site) refresh(client, token string, extra url.Values) (*reply, error) {
	return s.post("token", client, changed(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, extra))
}

// changed lays extra over fields; an empty value takes a field away.
func changed(fields, extra url.Values) url.Values {
	for name, values := range extra {
		if len(values) == 1 && values[0] == "" {
			fields.Del(name)
			continue
		}
		fields[name] = values
	}
	return fields
}

// known returns a client, nil for a stranger, also while others enter.
func (s *site) known(client string) *storage.Client {
	s.entering.RLock()
	defer s.entering.RUnlock()
	return s.clients[client]
}
