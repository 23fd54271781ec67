package storage

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// formed is a record that is read and written by so many requests that reflection would
// be a sixth of what they cost. It knows its own JSON form: to the byte the one that
// encoding/json gives it, which a fuzz target holds it to, so nothing on the disk tells who
// wrote it. What is out of the ordinary, as a text with escapes or a field of a newer
// release, is left to encoding/json.
type formed interface {
	// appendJSON appends the form to a buffer; not ok says that encoding/json is to do it.
	appendJSON(to []byte) (form []byte, ok bool)
	// parseJSON reads the form, with its fields in the order in which they are written.
	// When it is not ok the value is as it was.
	parseJSON(form []byte) (ok bool)
}

// encode returns the JSON form of a record.
func encode(value any) ([]byte, error) {
	if f, ok := value.(formed); ok {
		const usual = 768 // bytes, of a grant with a chain
		if form, ok := f.appendJSON(make([]byte, 0, usual)); ok {
			return form, nil
		}
	}
	return json.Marshal(value)
}

// jsonWriter puts an object together.
type jsonWriter struct {
	form  []byte
	inner bool // something stands in the object already
	odd   bool // encoding/json is to do it
}

func (w *jsonWriter) open() {
	w.form, w.inner = append(w.form, '{'), false
}

func (w *jsonWriter) close() {
	w.form, w.inner = append(w.form, '}'), true
}

// field begins a member, whose name needs no escapes.
func (w *jsonWriter) field(name string) {
	if w.inner {
		w.form = append(w.form, ',')
	}
	w.inner = true
	w.form = append(append(append(w.form, '"'), name...), '"', ':')
}

// text is a member. That with IfAny is left out when it is empty, as encoding/json does with
// omitempty and omitzero; so it is with those below.
func (w *jsonWriter) text(name, value string) {
	w.field(name)
	w.quoted(value)
}

func (w *jsonWriter) textIfAny(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

func (w *jsonWriter) quoted(value string) {
	for i := range len(value) {
		if !ordinary(value[i]) || value[i] == '<' || value[i] == '>' || value[i] == '&' {
			w.odd = true
			return
		}
	}
	w.form = append(append(append(w.form, '"'), value...), '"')
}

// ordinary says whether a byte stands for itself within quotes.
func ordinary(b byte) bool { return b >= ' ' && b < 0x7f && b != '"' && b != '\\' }

func (w *jsonWriter) listIfAny(name string, values []string) {
	if len(values) == 0 {
		return
	}
	w.field(name)
	for i, value := range values {
		w.form = append(w.form, "[,"[min(i, 1)])
		w.quoted(value)
	}
	w.form = append(w.form, ']')
}

func (w *jsonWriter) bytes(name string, value []byte) {
	w.field(name)
	if value == nil {
		w.form = append(w.form, "null"...)
		return
	}
	w.form = append(base64.StdEncoding.AppendEncode(append(w.form, '"'), value), '"')
}

func (w *jsonWriter) bytesIfAny(name string, value []byte) {
	if len(value) > 0 {
		w.bytes(name, value)
	}
}

func (w *jsonWriter) number(name string, value uint64) {
	w.field(name)
	w.form = strconv.AppendUint(w.form, value, 10)
}

func (w *jsonWriter) numberIfAny(name string, value uint64) {
	if value != 0 {
		w.number(name, value)
	}
}

func (w *jsonWriter) yes(name string, value bool) {
	if value {
		w.field(name)
		w.form = append(w.form, "true"...)
	}
}

func (w *jsonWriter) time(name string, value time.Time) {
	w.field(name)
	if year := value.Year(); value.Location() != time.UTC || year < 0 || year > 9999 {
		w.odd = true
		return
	}
	w.form = append(value.AppendFormat(append(w.form, '"'), time.RFC3339Nano), '"')
}

func (w *jsonWriter) timeIfAny(name string, value time.Time) {
	if !value.IsZero() {
		w.time(name, value)
	}
}

// other is a member that encoding/json writes.
func (w *jsonWriter) other(name string, value any) {
	form, err := json.Marshal(value)
	if err != nil {
		w.odd = true
		return
	}
	w.field(name)
	w.form = append(w.form, form...)
}

// jsonReader takes an object apart whose fields come in a known order, as jsonWriter puts
// it together.
type jsonReader struct {
	rest  []byte
	inner bool
	odd   bool // encoding/json is to do it
}

// take reads what must stand next.
func (r *jsonReader) take(c byte) {
	if len(r.rest) == 0 || r.rest[0] != c {
		r.odd = true
		return
	}
	r.rest = r.rest[1:]
}

func (r *jsonReader) open() {
	r.take('{')
	r.inner = false
}

func (r *jsonReader) close() {
	r.take('}')
	r.inner = true
}

// field says whether this is the next member, whose value is to be read then.
func (r *jsonReader) field(name string) bool {
	rest := r.rest
	if r.inner {
		if len(rest) == 0 || rest[0] != ',' {
			return false
		}
		rest = rest[1:]
	}
	end := len(name) + 1
	if r.odd || len(rest) < end+2 || rest[0] != '"' || string(rest[1:end]) != name || rest[end] != '"' || rest[end+1] != ':' {
		return false
	}
	r.rest, r.inner = rest[end+2:], true
	return true
}

// quoted reads a text, which lies in the form still.
func (r *jsonReader) quoted() []byte {
	r.take('"')
	for i := 0; i < len(r.rest) && !r.odd; i++ {
		switch c := r.rest[i]; {
		case c == '"':
			text := r.rest[:i]
			r.rest = r.rest[i+1:]
			return text
		case !ordinary(c):
			r.odd = true
		}
	}
	r.odd = true
	return nil
}

func (r *jsonReader) text(name string, value *string) {
	if r.field(name) {
		*value = string(r.quoted())
	}
}

func (r *jsonReader) list(name string, values *[]string) {
	if !r.field(name) {
		return
	}
	r.take('[')
	for !r.odd {
		*values = append(*values, string(r.quoted()))
		if len(r.rest) == 0 || r.rest[0] != ',' {
			break
		}
		r.rest = r.rest[1:]
	}
	r.take(']')
}

func (r *jsonReader) bytes(name string, value *[]byte) {
	if !r.field(name) {
		return
	}
	if text := r.quoted(); !r.odd {
		decoded, err := base64.StdEncoding.AppendDecode(make([]byte, 0, base64.StdEncoding.DecodedLen(len(text))), text)
		*value, r.odd = decoded, err != nil
	}
}

func (r *jsonReader) number(name string, bits int) (value uint64) {
	if !r.field(name) {
		return 0
	}
	end := slices.IndexFunc(r.rest, func(c byte) bool { return c < '0' || c > '9' })
	if end < 1 || end > 1 && r.rest[0] == '0' {
		r.odd = true
		return 0
	}
	value, err := strconv.ParseUint(string(r.rest[:end]), 10, bits)
	r.rest, r.odd = r.rest[end:], r.odd || err != nil
	return value
}

func (r *jsonReader) yes(name string, value *bool) {
	if r.field(name) {
		rest, yes := bytes.CutPrefix(r.rest, []byte("true"))
		r.rest, *value, r.odd = rest, yes, r.odd || !yes
	}
}

func (r *jsonReader) time(name string, value *time.Time) {
	if r.field(name) {
		if text := r.quoted(); !r.odd {
			r.odd = value.UnmarshalText(text) != nil
		}
	}
}

// ended says whether all of the form was read, and all of it was ordinary.
func (r *jsonReader) ended() bool { return !r.odd && len(r.rest) == 0 }
