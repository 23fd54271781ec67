package attack

import (
	"fmt"
	"net/url"
	"strings"
)

// redirectAttacks mangle the redirect_uri: the browser is never sent to what is not
// registered. RFC 9700 §4.1.3, RFC 6749 §3.1.2.4, RFC 8252 §7.3
func redirectAttacks() []attack {
	var rows []attack
	for _, c := range []struct{ client, uri string }{
		{"web", "https://web.test/cb"}, {"cli", "http://127.0.0.1/cb"}, {"app", "test.app:/cb"},
		{"query", "https://query.test/cb?tenant=1"}, {"query", "https://query.test/a/b/cb"},
	} {
		rows = append(rows, attack{
			id: c.client, name: "mangled " + c.uri, verdict: stays, works: accepted,
			request: func(s *stage) *request {
				r := s.authorize(c.client).from(s.person("alice"))
				set("redirect_uri", c.uri)(r)
				return r
			},
			mutations: append(each("redirect_uri", mangled(c.uri)...), rawRedirects(c.uri)...),
		})
	}
	rows = append(rows, attack{
		id: "form_post", name: "a page that posts to what is not registered", verdict: stays,
		works: shows(`action="https://web.test/cb"`),
		request: func(s *stage) *request {
			r := s.authorize("web").from(s.person("alice"))
			set("response_mode", "form_post")(r)
			return r
		},
		mutations: each("redirect_uri", mangled("https://web.test/cb")...),
	}, attack{
		id: "errors", name: "an error is no way to be sent elsewhere", verdict: stays, works: refused("invalid_scope"),
		request: func(s *stage) *request {
			r := s.authorize("web").from(s.person("alice"))
			set("scope", "nonsense")(r)
			return r
		},
		mutations: each("redirect_uri", mangled("https://web.test/cb")[1:]...),
	}, attack{
		id: "prompt=none", name: "nor is a request without pages", verdict: stays, works: refused("login_required"),
		request: func(s *stage) *request {
			r := s.authorize("web")
			set("prompt", "none")(r)
			return r
		},
		mutations: each("redirect_uri", mangled("https://web.test/cb")...),
	}, attack{
		id: "ports", name: "any port of loopback, and only that", works: accepted, verdict: stays,
		request: func(s *stage) *request {
			r := s.authorize("cli").from(s.person("alice"))
			set("redirect_uri", "http://127.0.0.1:49152/cb")(r)
			return r
		},
		mutations: each("redirect_uri",
			"http://127.0.0.1:99999/cb", "http://127.0.0.1:-1/cb", "http://127.0.0.1:0x50/cb", "http://127.0.0.1:80a/cb", "http://127.0.0.1: 80/cb",
			"http://127.0.0.1:65536/cb", "http://127.0.0.1:080:80/cb", "http://evil@127.0.0.1:4444/cb", "http://127.0.0.1:4444@evil.test/cb",
			"http://127.0.0.2:4444/cb", "http://127.1:4444/cb", "http://2130706433:4444/cb", "http://0x7f000001:4444/cb", "http://0177.0.0.1:4444/cb",
			"http://[::1]:4444/cb", "http://[::ffff:127.0.0.1]:4444/cb", "http://0.0.0.0:4444/cb", "http://localhost:4444/cb", "http://127.0.0.1.evil.test:4444/cb",
			"http://127.0.0.1.:4444/cb", "https://127.0.0.1:4444/cb", "http://127.0.0.1:4444/c%62", "http://127.0.0.1:4444/cb/", "http://127.0.0.1:4444/cb?x=1",
			"http://127.0.0.1:4444/cb#x", "http://127.0.0.1:٤٤٤٤/cb",
		),
	})
	return rows
}

// mangled are the variants of a URI that are not that URI.
func mangled(uri string) []string {
	u, err := url.Parse(uri)
	if err != nil {
		return nil
	}
	host, rest := u.Host, u.RequestURI()
	if host == "" {
		host, rest = "evil.test", strings.TrimPrefix(uri, u.Scheme+":")
	}
	list := []string{
		"", " ", "/", "//evil.test/cb", "///evil.test/cb", `\\evil.test\cb`, "/cb", "cb", "?", "#", "null", "about:blank", "*", "https://*.test/cb", "https:///cb",
		"https://evil.test/cb", "http://evil.test/cb", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "data:text/html,x", "vbscript:x",
		"blob:" + uri, "view-source:" + uri, "file:///etc/passwd", "ftp://" + host + rest, "ws://" + host + rest, "urn:ietf:wg:oauth:2.0:oob", "mailto:a@evil.test",
		uri + "/", uri + "//", uri + "x", uri + "/x", uri + "/..", uri + "/../x", uri + "/.", uri + "/./", uri + ";x=1", uri + "&x=1", uri + "#", uri + "#x", uri + "?", uri + "?x=1",
		uri + "%00", uri + "%0d%0aX-Injected:1", uri + "%20", uri + " ", " " + uri, "\t" + uri, uri + "\t", uri + "\n", uri + "\r\nX-Injected: 1", uri + "\x00", uri + "\x7f", "\u00a0" + uri,
		uri + "\u200b", "\ufeff" + uri, uri + "\u202e", uri + "\\", uri + "\\..\\x", uri + "%5c", uri + "%2f", uri + "%2f..", uri + "%252f", uri + ".evil.test", uri + "@evil.test", uri + ":80",
		strings.ToUpper(uri), strings.ToTitle(uri[:1]) + uri[1:], uri[:len(uri)-1], uri[1:], uri + "," + uri, uri + " " + uri, uri + "|" + uri, "[" + uri + "]", `"` + uri + `"`, "<" + uri + ">",
		strings.Replace(uri, ":", "%3a", 1), strings.Replace(uri, "c", "%63", 1), strings.Replace(uri, "b", "%62", 1), strings.Replace(uri, "/cb", "/CB", 1), strings.Replace(uri, "/cb", "/%2e/cb", 1),
		strings.Replace(uri, "/cb", "/./cb", 1), strings.Replace(uri, "/cb", "/x/../cb", 1), strings.Replace(uri, "/cb", "//cb", 1), strings.Replace(uri, "/cb", "/%2e%2e/cb", 1), strings.Replace(uri, "/cb", "\\cb", 1),
		strings.Replace(uri, "/cb", "/cb;/../x", 1), strings.Replace(uri, "/cb", "/..;/cb", 1), strings.Replace(uri, "/cb", "/с"+"b", 1), // a Cyrillic letter
		strings.Repeat(uri, 50), uri + "?" + strings.Repeat("a", 4000), url.QueryEscape(uri), url.QueryEscape(url.QueryEscape(uri)),
	}
	if u.Host == "" { // an app's own scheme
		return append(without(list, uri), "test.app://cb", "test.app:///cb", "test.app://evil.test/cb", "test.app:cb", "test.app:/", "test.app.evil:/cb", "xtest.app:/cb", "test.appx:/cb", "test.app:/cb//evil.test")
	}
	for _, user := range []string{"evil@", "evil:pw@", "@", ":@", "%40", "evil.test%40", "evil.test%2f@", "evil.test\\@", "evil.test#@", "evil.test?@", "evil.test/@", "evil.test:80@", "a@b@"} {
		list = append(list, u.Scheme+"://"+user+host+rest)
	}
	for _, suffix := range []string{
		":443", ":80", ":", ":8443", ":0", ":99999", ".", "..", ".evil.test", "evil.test", "@evil.test", ":x@evil.test", "%40evil.test", "%2eevil.test", "%2f.evil.test", "\\.evil.test", "\\@evil.test", "#@evil.test",
		"?@evil.test", ";evil.test", ",evil.test", "&evil.test", "%00.evil.test", "%0a.evil.test", "\t.evil.test", "。evil.test", "．evil.test", "/.evil.test", "%23evil.test", "%3fevil.test", "[evil.test]", "`evil.test", "{evil.test}",
	} {
		if suffix == ":80" && u.Scheme == "http" || suffix == ":0" && u.Scheme == "http" || suffix == ":8443" && u.Scheme == "http" || suffix == ":443" && u.Scheme == "http" {
			continue // any port of loopback is right
		}
		list = append(list, u.Scheme+"://"+host+suffix+rest)
	}
	for _, prefix := range []string{"evil", "evil.", "evil-", "www.", ".", "evil.test/", "evil.test\\", "evil.test?", "evil.test#", "evil.test;", "evil.test%2f", "evil.test:80/", "xn--", "[::1]", "*."} {
		list = append(list, u.Scheme+"://"+prefix+host+rest)
	}
	for _, scheme := range []string{"http:", "http:/", "http://", "HTTPS://", "https:", "https:/", "https:///", "https:\\\\", "https:/\\", "https:\\/", "//", "///", "\\\\", "/\\", "https//", "https:://", "httpss://", "https\t://", "h\nttps://", "javascript://", "data://", "intent://", "ht%74ps://"} {
		if scheme != u.Scheme+"://" {
			list = append(list, scheme+host+rest)
		}
	}
	for _, other := range []string{
		strings.ToUpper(host), strings.Replace(host, "e", "е", 1), strings.Replace(host, "t", "ｔ", 1), strings.Replace(host, ".", "。", 1), strings.Replace(host, ".", "%2e", 1), strings.Replace(host, ".", "..", 1),
		"test", host[1:], "xn--wb-7ja.test", "wéb.test", "web\u00ad.test", "ⓦeb.test", "web.tеst", "localhost", "127.0.0.1", "[::1]", "0", "169.254.169.254",
	} {
		if other != host {
			list = append(list, u.Scheme+"://"+other+rest)
		}
	}
	for b := range 0x20 { // every control character, in the path and in the host
		list = append(list, fmt.Sprintf("%s://%s%s%c", u.Scheme, host, rest, b), fmt.Sprintf("%s://%s%c%s", u.Scheme, host, b, rest), fmt.Sprintf("%s://%s%s%%%02x", u.Scheme, host, rest, b))
	}
	return without(list, uri)
}

func without(list []string, uri string) []string {
	seen := map[string]bool{uri: true}
	var rest []string
	for _, one := range list {
		if !seen[one] {
			seen[one] = true
			rest = append(rest, one)
		}
	}
	return rest
}

// rawRedirects are those that url.Values can't write.
func rawRedirects(uri string) []mutation {
	var list []mutation
	raw := func(name, more string) {
		list = append(list, mutation{name: name, change: func(r *request) {
			r.query.Del("redirect_uri")
			r.raw = r.query.Encode() + "&" + more
		}})
	}
	good := url.QueryEscape(uri)
	raw("twice", "redirect_uri="+good+"&redirect_uri=https%3A%2F%2Fevil.test")
	raw("twice, the evil one first", "redirect_uri=https%3A%2F%2Fevil.test&redirect_uri="+good)
	raw("twice the same", "redirect_uri="+good+"&redirect_uri="+good)
	raw("in brackets", "redirect_uri[]="+good)
	raw("in capitals", "REDIRECT_URI="+good)
	raw("with a name that is escaped twice", "redirect%255furi="+good)
	raw("no UTF-8", "redirect_uri="+good+"%ff")
	raw("overlong UTF-8", "redirect_uri="+good+"%c0%af")
	raw("a bad escape", "redirect_uri="+good+"%zz")
	raw("half an escape", "redirect_uri="+good+"%")
	raw("semicolons", "x=1;redirect_uri="+good)
	return list
}
