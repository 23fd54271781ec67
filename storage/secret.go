package storage

import (
	"bytes"
	"fmt"

	"github.com/doorward/doorward/internal/seal"
)

// samples are what stands in secrets that nobody made at random. Each is long enough that
// chance does not write it.
var samples = []string{
	"change", "secret", "sample", "example", "password", "passphrase", "doorward", "default", "openssl", "testing",
	"c29tzxnhbh", // somesalt, in the examples of hashes
	"abcdefgh", "qwertyui", "01234567", "12345678", "deadbeef", "insecure",
}

// checkSecret refuses what is too short or what somebody could guess. The error does not
// show the value.
func checkSecret(secret []byte) error {
	if len(secret) < seal.KeySize {
		return fmt.Errorf("%w: it has %d bytes, at least %d random ones are needed", ErrInvalid, len(secret), seal.KeySize)
	}
	if why := WeakSecret(secret); why != "" {
		return fmt.Errorf("%w: it is %s; make one with: openssl rand -base64 48", ErrInvalid, why)
	}
	return nil
}

// WeakSecret says what a secret looks like that nobody made at random, without showing any
// of it: a sample, a pattern, words. It is empty for one that looks random; that of 32
// random bytes, also as base64, base32 or hexadecimal digits, does but for a few in a
// million. Letters of one case alone look like words.
func WeakSecret(secret []byte) (why string) {
	lower := bytes.ToLower(secret)
	for _, sample := range samples {
		if bytes.Contains(lower, []byte(sample)) {
			return "what looks like a sample"
		}
	}
	switch {
	case repeats(secret) || distinct(secret) < 8:
		return "a pattern that repeats, as in a sample"
	case wordy(secret):
		return "what looks like words, which can be guessed"
	}
	return ""
}

func distinct(secret []byte) int {
	seen := map[byte]struct{}{}
	for _, b := range secret {
		seen[b] = struct{}{}
	}
	return len(seen)
}

// repeats says that the secret is a shorter one over and over.
func repeats(secret []byte) bool {
	for period := 1; period <= len(secret)/2; period++ {
		if bytes.Equal(secret[period:], secret[:len(secret)-period]) {
			return true
		}
	}
	return false
}

// wordy says that a text is far more likely to be words than random digits of base 64, by
// two things. In base64 two of three neighbours are of different classes (small letters,
// capitals, digits), in words few are; and words have more of some letters than of others.
// Digits of base 16 and 32 have classes of their own and are left alone, but for capitals
// that spell something.
func wordy(secret []byte) bool {
	const digits, small, capital = 1, 2, 3
	var spelling, classes float64 // logarithms of how much likelier words are
	var letters, numbers, last int
	hexed, base32 := true, true
	for _, b := range secret {
		class := last // what separates words is of the class before it
		switch {
		case b >= '0' && b <= '9':
			class = digits
			numbers++
		case b >= 'a' && b <= 'z':
			class = small
			letters++
			spelling += letterWeights[b-'a']
		case b >= 'A' && b <= 'Z':
			class = capital
			letters++
			spelling += letterWeights[b-'A']
		case b < ' ' || b > '~':
			return false // random bytes
		}
		hexed = hexed && (class == digits || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F')
		base32 = base32 && (b >= 'A' && b <= 'Z' || b >= '2' && b <= '7' || b == '=')
		if class == last {
			classes += 0.85 // ln(85 % / 36.5 %)
		} else if last != 0 {
			classes -= 1.44 // ln(15 % / 63.5 %)
		}
		last = class
	}
	if hexed || base32 && (numbers >= 3 || spelling < 0) {
		return false
	}
	return letters > 0 && spelling+classes > 10
}

// letterWeights are the logarithms of how often a letter stands in English beside how often
// it would by chance. The rarest are not counted in full, for the sake of other languages.
var letterWeights = [26]float64{
	0.76, -0.94, -0.32, 0.11, 1.19, -0.56, -0.65, 0.46, 0.60, -2, -1.6, 0.04, -0.47, // a to m
	0.56, 0.67, -0.70, -2, 0.44, 0.49, 0.86, -0.32, -1.37, -0.47, -2, -0.65, -2, // n to z
}
