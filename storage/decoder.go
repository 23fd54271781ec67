package storage

import (
	"bytes"
	"encoding/json"
)

// decoder reads one JSON value after the other, so that a record costs no buffers of its
// own.
type decoder struct {
	source bytes.Reader
	json   *json.Decoder
}

// decode decodes the JSON form of a record.
func (s *Store) decode(plain []byte, value any) error {
	if f, ok := value.(formed); ok && f.parseJSON(plain) {
		return nil
	}
	d, ok := s.decoders.Get().(*decoder)
	if !ok {
		d = &decoder{}
		d.json = json.NewDecoder(&d.source)
		d.json.UseNumber() // or whole numbers of claims would change above 2^53
	}
	begin := d.json.InputOffset()
	d.source.Reset(plain)
	if err := d.json.Decode(value); err != nil {
		return err // it keeps its error, and is not used again
	}
	if d.json.InputOffset()-begin == int64(len(plain)) { // or the rest would stand before the next value
		s.decoders.Put(d)
	}
	return nil
}
