package rawjson

// number reads the number at i and gives where it ends, or -1.
func (d *Doc) number(i int) int {
	src, start := d.src, i
	if src[i] == '-' {
		i++
	}
	whole := i
	if i < len(src) && src[i] == '0' {
		i++
	} else if i = digits(src, i); i == whole {
		return d.failed(stopped(src, i, "a digit"))
	}
	if i-whole <= MaxNumberDigits && (i >= len(src) || src[i] != '.' && src[i]|' ' != 'e') {
		return i // most often
	}
	before, after, exponent := i-whole, 0, 0
	if i < len(src) && src[i] == '.' {
		i++
		fraction := i
		if i = digits(src, i); i == fraction {
			return d.failed(stopped(src, i, "a digit"))
		}
		after = i - fraction
	}
	if i < len(src) && src[i]|' ' == 'e' {
		i++
		negative := i < len(src) && src[i] == '-'
		if negative || i < len(src) && src[i] == '+' {
			i++
		}
		first := i
		if i = digits(src, i); i == first {
			return d.failed(stopped(src, i, "a digit"))
		}
		for _, c := range src[first:i] {
			exponent = min(10*exponent+int(c-'0'), 10*MaxNumberDigits)
		}
		if negative {
			exponent = -exponent
		}
	}
	d.measure(start, i-start, before, after, exponent)
	return i
}

// measure holds a number, of length bytes at start, against its bounds: so many
// digits before and after the point, moved by the exponent.
func (d *Doc) measure(start, length, before, after, exponent int) {
	written := max(before+exponent, 1) + max(after-exponent, 0)
	switch grown := written - length; {
	case before+after > MaxNumberDigits || written > MaxNumberDigits:
		d.note(longNumber, start)
	case grown > 0:
		if d.growth <= MaxGrowth && d.growth+grown > MaxGrowth {
			d.note(longNumbers, start)
		}
		d.growth += grown
	}
}

// digits gives where the digits at i end.
func digits(src []byte, i int) int {
	for i < len(src) && src[i]-'0' <= 9 {
		i++
	}
	return i
}
