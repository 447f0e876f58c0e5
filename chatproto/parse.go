package chatproto

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
	if len(line) > V1.Limits.Frame-len("\r\n") { // a bare LF counts as two octets
		return badLine(V1.Limits.Frame, ErrFrameTooLong)
	}
	code, i := parseCode(view(line))
	if i == 0 {
		return badLine(0, ErrCode)
	}
	f.Code = code
	plain := isPlain(view(line), lowestInText) // then it decodes to itself
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
	k := min(keyEnd(view(line), i), i+V1.Limits.Key)
	if k == i || k == len(line) || line[k] != '=' {
		return 0, badLine(k, ErrKey)
	}
	key := line[i:k]
	for j := range f.Fields {
		if string(f.Fields[j].Key) == string(key) {
			return 0, badLine(i, ErrDuplicateKey)
		}
	}
	if len(f.Fields) == V1.Limits.Fields {
		return 0, badLine(i, ErrManyFields)
	}
	k++
	end := k
	for end < len(line) && line[end] != ' ' {
		end++
	}
	value := line[k:end]
	if !plain {
		n, at, err := unescape(value, lowestInValue)
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
		n, at, err := unescape(text, lowestInText)
		if err != nil {
			return badLine(i+at, err)
		}
		text = text[:n]
	}
	if len(text) > 0 { // else there is none
		f.Description = text
	}
	return nil
}

// keyEnd returns where the key at s[i] ends: at i if there is none.
func keyEnd(s string, i int) int {
	if i >= len(s) || keyOctets[s[i]] != startsKey {
		return i
	}
	for i++; i < len(s) && keyOctets[s[i]] != 0; i++ {
	}
	return i
}

// keyOctets says which octets may stand in a key.
var keyOctets = func() (t [256]uint8) {
	for c := 'a'; c <= 'z'; c++ {
		t[c] = startsKey
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = continuesKey
	}
	t['-'] = continuesKey
	return t
}()

const (
	continuesKey = 1
	startsKey    = 2
)
