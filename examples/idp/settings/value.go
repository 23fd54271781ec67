package settings

import (
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/doorward/doorward/server"
)

// duration is a time span as people write it: 90s, 15m, 1h30m, 30d.
type duration time.Duration

func (d *duration) read(node *yaml.Node) error {
	span, err := ParseDuration(node.Value)
	if node.Kind != yaml.ScalarNode || err != nil {
		return wrong(shown(node), "write a time span, as in 90s, 15m, 12h or 30d")
	}
	if span <= 0 {
		return wrong(shown(node), "write more than nothing, or leave the key out for the default")
	}
	*d = duration(span)
	return nil
}

// ParseDuration is time.ParseDuration that also knows days.
func ParseDuration(text string) (time.Duration, error) {
	days, rest, found := strings.Cut(text, "d")
	if !found {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, err
	}
	span := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return span, nil
	}
	more, err := time.ParseDuration(rest)
	return span + more, err
}

// prefix is a network, or one address.
type prefix netip.Prefix

func (p *prefix) read(node *yaml.Node) error {
	network, err := netip.ParsePrefix(node.Value)
	if err != nil {
		var addr netip.Addr
		if addr, err = netip.ParseAddr(node.Value); err == nil {
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
	}
	if err != nil {
		return wrong(shown(node), "write a network or an address, as in 10.0.0.0/8")
	}
	*p = prefix(network.Masked())
	return nil
}

// scope is a scope with its description; its name alone will do.
type scope server.Scope

func (s *scope) read(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		s.Name = node.Value
		return nil
	}
	var named struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	}
	r := reader{at: places{}, found: &Problems{}}
	r.read("", node, reflect.ValueOf(&named))
	if len(r.found.List) > 0 {
		p := r.found.List[0]
		return wrong(p.Field+": "+p.Found, p.Want)
	}
	s.Name, s.Description = named.Name, named.Description
	return nil
}
