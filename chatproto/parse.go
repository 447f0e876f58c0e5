package chatproto

import "bytes"

// Parse decodes one line, without its end, into f. It decodes in place: line
// is scratch afterwards, and f aliases it. An error is an *[Error] with code
// 500 that names the octet and what was expected there; f is then of no use.
//
// Parse keeps to the grammar of SPEC section 3 and knows nothing of verbs:
// an unknown code is a frame.
func Parse(f *Frame, line []byte) error {
	f.Fields, f.Description = f.Fields[:0], nil
	if len(line) == 0 {
		return badLine(0, ErrEmptyLine)
	}
	code, i := parseCode(view(line))
	if i == 0 {
		return badLine(0, ErrCode)
	}
	f.Code = code
	plain := plainLen(view(line), lowestInText) == len(line)
	for i < len(line) {
		if line[i] != ' ' {
			return badLine(i, ErrSpace)
		}
		i++
		if i < len(line) && line[i] == ':' {
			return parseDescription(f, line, i+1, plain)
		}
		end, err := parseField(f, line, i, plain)
		if err != nil {
			return err
		}
		i = end
	}
	return nil
}

// parseField reads key=value at line[i] and returns where it ends.
func parseField(f *Frame, line []byte, i int, plain bool) (int, error) {
	k := i + keyLen(view(line[i:]))
	if k == i || k == len(line) || line[k] != '=' {
		return 0, badLine(k, ErrKey)
	}
	key := line[i:k]
	for j := range f.Fields {
		if bytes.Equal(f.Fields[j].Key, key) {
			return 0, badLine(i, ErrDuplicateKey)
		}
	}
	if len(f.Fields) == V1.Limits.Fields {
		return 0, badLine(i, ErrManyFields)
	}
	k++
	end := len(line)
	if n := bytes.IndexByte(line[k:], ' '); n >= 0 {
		end = k + n
	}
	value := line[k:end]
	if !plain {
		n, at, err := unescape(value, true)
		if err != nil {
			return 0, badLine(k+at, err)
		}
		value = value[:n]
	}
	f.Fields = append(f.Fields, Field{key, value})
	return end, nil
}

func parseDescription(f *Frame, line []byte, i int, plain bool) error {
	text := line[i:]
	if !plain {
		n, at, err := unescape(text, false)
		if err != nil {
			return badLine(i+at, err)
		}
		text = text[:n]
	}
	if len(text) > 0 {
		f.Description = text
	}
	return nil
}

// keyLen returns how many octets at the start of s are a key.
func keyLen(s string) int {
	n := 0
	for n < len(s) && n < V1.Limits.Key {
		switch c := s[n]; {
		case 'a' <= c && c <= 'z', n > 0 && (digit(c) || c == '-'):
			n++
		default:
			return n
		}
	}
	return n
}
