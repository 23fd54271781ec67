package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/server"
	"github.com/doorward/doorward/storage"
)

// TestScripts runs what stands in testdata. The words of a script:
//
//	server [issuer=URL] [algs=ES256,..] [refresh=POLICY] [code=60s] [access=1h]
//	       [idle=720h] [absolute=2160h] [interaction=1h] [session=336h] [logins=10] [devices=on] [signup=on]
//	       [accounts=3] [remember=on] [steps=terms,..]
//	       [registration=open|token]
//	       [resources=URL,URL:jwt,..]  with these, which every client may have tokens for
//	                           start a provider with the cast of world_test.go
//	browser NAME               go on in another browser
//	advance 61s                move the provider's clock
//	fail reads|writes|nothing  make the store fail
//	disable alice              close an account
//
//	get PLACE [NAME=VALUE]...  send a request, follow nothing; -H 'Name: value' adds a header
//	post PLACE [NAME=VALUE]... as a form; -as CLIENT sends its credentials, -type and
//	                           -body replace media type and body
//	request METHOD PLACE       any other method; -body as above
//	follow                     follow the redirect of the last answer, within the provider
//
//	authorize CLIENT [NAME=VALUE]...  open an authorize URL with all that clients send; NAME= leaves one out
//	form NAME=VALUE...         send the form of the page that has these fields
//	press NAME=VALUE...        the same, without following the answer
//	code CLIENT [NAME=VALUE].. all of it as alice (or -user bob), until the client has $code
//	exchange CLIENT [..]       redeem $code with $verifier
//	refresh CLIENT TOKEN [..]  use a refresh token
//	                           both set $access, $refresh and $id_token
//
//	status 200                 of the last answer
//	header NAME [REGEXP]       of the last answer; ! header NAME: it is absent
//	json PATH [VALUE]          member of the last answer
//	body REGEXP                text of the last answer
//	answer CLIENT [NAME=VALUE].. the last answer went to the client, with these parameters; NAME= is absent
//	reason NAME                the log names this reason for the last refusal, and no other
//	log REGEXP                 the log since the last request has this
//	event TYPE                 such an event was delivered since the last look
//	jwt TOKEN NAME [VALUE]     a claim of a token that verifies against the published keys
//	cookie NAME                the browser has a cookie with this in its name
//	page keep|show|open NAME   keep a page, go back to it, open its address anew
//	page same NAME             the last page has its address
//	page post NAME [..]        post to its address from anywhere
//	explained                  the last refusal leads to its entry on the page of errors
//	rotate                     rotate the signing keys
//	client make ID [ALG]       register a client while the server runs; also disable, enable, remove
//	alg TOKEN NAME             the token is signed by this algorithm
//	large PLACE                post more than 64 KiB
//	initial [USES]             an initial access token, as $initial; initial revoke ends it
//	adopt                      the last answer registered a client, which has a part from now on, as $client
//	set NAME PATH              keep a member of the last answer as $NAME
//	works TOKEN                userinfo takes this access token; ! works: it does not
//
// A place is the name of an endpoint, a path of the origin, or a URL.
func TestScripts(t *testing.T) {
	for _, backend := range []string{"memory", "bolt", "postgres"} {
		t.Run(backend, func(t *testing.T) {
			var dsn string
			var places atomic.Int64 // one for each script, in one database
			if backend == "postgres" {
				dsn = databases.Database(t)
			}
			testscript.Run(t, testscript.Params{
				Dir: "testdata",
				Setup: func(env *testscript.Env) error {
					env.Values[stage{}] = &scene{place: plan{
						backend: backend, dir: env.WorkDir, dsn: dsn, schema: fmt.Sprintf("script_%d", places.Add(1)),
					}}
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"server": word((*scene).startServer), "browser": word((*scene).changeBrowser), "advance": word((*scene).advance),
					"fail": word((*scene).fail), "disable": word((*scene).disable),
					"get": word((*scene).get), "post": word((*scene).post), "request": word((*scene).request), "follow": word((*scene).follow),
					"authorize": word((*scene).authorize), "form": word((*scene).form), "press": word((*scene).press),
					"code": word((*scene).code), "exchange": word((*scene).exchange), "refresh": word((*scene).refresh),
					"status": word((*scene).status), "header": check((*scene).header), "json": check((*scene).json), "body": check((*scene).body),
					"answer": word((*scene).answer), "reason": word((*scene).reason), "event": check((*scene).event), "log": check((*scene).log),
					"jwt": check((*scene).jwt), "cookie": check((*scene).cookie), "set": word((*scene).set), "works": check((*scene).works),
					"page": word((*scene).page), "explained": word((*scene).explained), "rotate": word((*scene).rotate),
					"initial": word((*scene).initial), "adopt": word((*scene).adopt),
					"client": word((*scene).client), "alg": word((*scene).alg), "large": word((*scene).large),
				},
			})
		})
	}
}

type stage struct{}

// scene is where a script stands.
type scene struct {
	place    plan // where the provider keeps its state
	pages    map[string]*reply
	world    *world
	browsers map[string]*person
	at       *person
	last     *reply
	entered  bool
	env      func(name, value string)
	value    func(name string) string
}

func sceneOf(ts *testscript.TestScript) *scene {
	s := ts.Value(stage{}).(*scene)
	s.env, s.value = ts.Setenv, ts.Getenv
	return s
}

// word is a word of a script that says what is to be.
func word(do func(s *scene, args []string) error) func(*testscript.TestScript, bool, []string) {
	return check(func(s *scene, args []string) (bool, error) { return true, do(s, args) })
}

// check is a word that may be denied. When it says that something is not so, the
// error tells what is.
func check(do func(s *scene, args []string) (bool, error)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		s := sceneOf(ts)
		is, err := do(s, args)
		switch {
		case is && err != nil:
			ts.Fatalf("%v", err)
		case !is && !neg:
			ts.Fatalf("it is not so: %v; the last answer was %s", err, s.last)
		case is && neg:
			ts.Fatalf("it is so; the last answer was %s", s.last)
		}
		if s.world != nil && !s.entered {
			s.entered = true
			ts.Defer(func() { s.leave(ts) })
		}
	}
}

// leave closes the world of a script.
func (s *scene) leave(ts *testscript.TestScript) {
	if s.world == nil { // it could not be opened anew
		return
	}
	if err := s.world.backend.Close(); err != nil {
		ts.Fatalf("close the store: %v", err)
	}
	if n := s.world.server.Store().Exhausted(); n != 0 {
		ts.Fatalf("%d requests gave up after their reruns", n)
	}
}

// pairs reads NAME=VALUE arguments.
func pairs(args []string) (url.Values, error) {
	values := url.Values{}
	for _, a := range args {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not NAME=VALUE", a)
		}
		values.Add(name, value)
	}
	return values, nil
}

// option takes an option with its value out of the arguments, every time it is there.
func option(args []string, name string) (values, rest []string) {
	for i := 0; i < len(args); i++ {
		if args[i] == name && i+1 < len(args) {
			values = append(values, args[i+1])
			i++
			continue
		}
		rest = append(rest, args[i])
	}
	return values, rest
}

func (s *scene) startServer(args []string) error {
	settings, err := pairs(args)
	if err != nil {
		return err
	}
	lives := map[string]time.Duration{}
	for _, name := range []string{"code", "access", "idle", "absolute", "interaction", "session"} {
		if settings.Has(name) {
			if lives[name], err = time.ParseDuration(settings.Get(name)); err != nil {
				return err
			}
		}
	}
	logins := 0
	if settings.Has("logins") {
		if logins, err = strconv.Atoi(settings.Get("logins")); err != nil {
			return err
		}
	}
	if s.world != nil { // the same store is opened anew
		if err := s.world.backend.Close(); err != nil {
			return err
		}
		s.world = nil
	}
	made, err := newWorld(plan{
		backend: s.place.backend, dir: s.place.dir, dsn: s.place.dsn, schema: s.place.schema, issuer: settings.Get("issuer"),
		configure: func(c *server.Config) {
			c.Lifetimes = server.Lifetimes{
				Code: lives["code"], AccessToken: lives["access"], RefreshIdle: lives["idle"], RefreshAbsolute: lives["absolute"],
				Interaction: lives["interaction"], SessionIdle: lives["session"],
			}
			if settings.Has("algs") {
				c.Keys.Algorithms = strings.Split(settings.Get("algs"), ",")
			}
			c.Refresh.Policy = storage.RefreshPolicy(settings.Get("refresh"))
			c.Limits.Logins = logins
			if settings.Get("devices") == "on" {
				withDevices(c)
			}
			if login, ok := c.Login.(handlers.PasswordLogin); ok && settings.Get("signup") == "on" {
				c.Login = newcomers{login}
			}
			if login, ok := c.Login.(handlers.PasswordLogin); ok && settings.Get("remember") == "on" {
				login.AskRemember = true
				c.Login = login
			}
			if settings.Has("accounts") {
				c.Accounts = int(settings.Get("accounts")[0] - '0')
			}
			for _, name := range strings.FieldsFunc(settings.Get("steps"), func(r rune) bool { return r == ',' }) {
				c.Steps = append(c.Steps, oneStep(name))
			}
			listResources(c, settings.Get("resources"))
			c.Registration.Endpoint = server.RegistrationAccess(settings.Get("registration"))
		},
	})
	if err != nil {
		return err
	}
	s.world = made
	s.browsers, s.pages = map[string]*person{}, map[string]*reply{}
	s.env("issuer", s.world.issuer)
	return s.changeBrowser([]string{"first"})
}

// listResources gives the server resources that every client may have tokens for.
func listResources(c *server.Config, list string) {
	for _, r := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		id, signed := strings.CutSuffix(r, ":jwt")
		one := server.Resource{ID: id}
		if signed {
			one.AccessTokenFormat = storage.AccessTokenJWT
		}
		c.Resources = append(c.Resources, one)
		for i := range c.Clients {
			c.Clients[i].Audiences = append(c.Clients[i].Audiences, id)
		}
	}
}

func (s *scene) changeBrowser(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: browser NAME")
	}
	if s.browsers[args[0]] == nil {
		s.browsers[args[0]] = s.world.person()
	}
	s.at = s.browsers[args[0]]
	return nil
}

func (s *scene) advance(args []string) error {
	d, err := time.ParseDuration(args[0])
	s.world.advance(d)
	return err
}

func (s *scene) fail(args []string) error {
	s.world.gate.reads.Store(slices.Contains(args, "reads"))
	s.world.gate.writes.Store(slices.Contains(args, "writes"))
	return nil
}

func (s *scene) disable(args []string) error {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	s.world.disabled[args[0]] = true
	return nil
}

// take keeps an answer as the last one.
func (s *scene) take(answer *reply, err error) error {
	if err != nil {
		return err
	}
	s.last = answer
	s.at.last = answer
	return nil
}

func headers(list []string) http.Header {
	header := http.Header{}
	for _, line := range list {
		name, value, _ := strings.Cut(line, ":")
		header.Add(name, strings.TrimSpace(value))
	}
	return header
}

func (s *scene) get(args []string) error { return s.request(append([]string{http.MethodGet}, args...)) }

func (s *scene) request(args []string) error {
	extra, args := option(args, "-H")
	raw, args := option(args, "-body")
	query, err := pairs(args[2:])
	if err != nil {
		return err
	}
	address := s.world.endpoint(args[1])
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	s.world.journal.turn()
	return s.take(send(s.at.client, args[0], address, headers(extra), strings.Join(raw, "")))
}

func (s *scene) post(args []string) error {
	extra, args := option(args, "-H")
	as, args := option(args, "-as")
	media, args := option(args, "-type")
	raw, args := option(args, "-body")
	fields, err := pairs(args[1:])
	if err != nil {
		return err
	}
	header := headers(extra)
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	if len(media) > 0 {
		header.Set("Content-Type", media[0])
	}
	if len(as) > 0 {
		c := s.world.clients[as[0]]
		switch {
		case c == nil:
			return fmt.Errorf("there is no client %q", as[0])
		case c.Public():
			fields.Set("client_id", c.ID)
		default:
			header.Set("Authorization", basicHeader(c.ID, c.Secret))
		}
	}
	body := fields.Encode()
	if len(raw) > 0 {
		body = raw[0]
	}
	s.world.journal.turn()
	if err := s.take(send(s.at.client, http.MethodPost, s.world.endpoint(args[0]), header, body)); err != nil {
		return err
	}
	s.keepTokens()
	return nil
}

func (s *scene) follow([]string) error {
	s.world.journal.turn()
	return s.take(s.at.follow(s.last))
}

func (s *scene) authorize(args []string) error {
	extra, err := pairs(args[1:])
	if err != nil {
		return err
	}
	address, verifier := s.world.authorizeURL(args[0], extra)
	s.env("verifier", verifier)
	s.world.journal.turn()
	return s.arrive(s.at.open(address))
}

func (s *scene) form(args []string) error {
	fields, err := pairs(args)
	if err != nil {
		return err
	}
	s.world.journal.turn()
	return s.arrive(s.at.submit(fields))
}

func (s *scene) press(args []string) error {
	fields, err := pairs(args)
	if err != nil {
		return err
	}
	s.world.journal.turn()
	page := s.at.last
	answer, err := s.at.press(fields)
	if err != nil {
		return err
	}
	s.last, s.at.last = answer, page // the page stays open, as after a double click
	return nil
}

// arrive keeps an answer, and the code in it where it went to a client.
func (s *scene) arrive(answer *reply, err error) error {
	if err := s.take(answer, err); err != nil {
		return err
	}
	if to := answer.location(); to != nil && to.Query().Has("code") {
		s.env("code", to.Query().Get("code"))
	}
	return nil
}

func (s *scene) code(args []string) error {
	name, args := option(args, "-user")
	extra, err := pairs(args[1:])
	if err != nil {
		return err
	}
	code, verifier, err := s.world.code(s.at, args[0], append(name, "alice")[0], extra)
	if err != nil {
		return err
	}
	s.env("code", code)
	s.env("verifier", verifier)
	s.last = s.at.last
	return nil
}
