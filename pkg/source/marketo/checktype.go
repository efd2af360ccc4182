package marketo

import (
	"fmt"
	"strconv"
)

// CheckType is source.TypeChecker's: activities and bulk exports are chosen by the numbers of activity types, changes by names of fields.
func (marketo) CheckType(stream, eventType string) error {
	_, err := strconv.ParseUint(eventType, 10, 31)
	switch {
	case stream == streamChanges && !isName(eventType):
		return fmt.Errorf("types: %.20q is not the API's name of a field, like leadStatus", eventType)
	case stream != streamChanges && err != nil:
		return fmt.Errorf("types: %.20q is not the number of an activity type, like 6", eventType)
	}
	return nil
}
