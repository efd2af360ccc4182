package marketo

import (
	"fmt"
	"strconv"
)

// CheckTypes is source.TypeChecker's: activities and bulk exports are chosen by the numbers of activity types, changes by names of fields.
func (marketo) CheckTypes(stream string, types []string) error {
	for _, t := range types {
		_, err := strconv.ParseUint(t, 10, 31)
		switch {
		case stream == streamChanges && !isName(t):
			return fmt.Errorf("types: %.20q is not the API's name of a field, like leadStatus", t)
		case stream != streamChanges && err != nil:
			return fmt.Errorf("types: %.20q is not the number of an activity type, like 6", t)
		}
	}
	return nil
}
