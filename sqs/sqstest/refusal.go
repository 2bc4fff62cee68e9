package sqstest

import (
	"fmt"
	"net/http"
)

// refusal is an error of the service: what a client gets instead of a result.
type refusal struct {
	code    string // as the JSON protocol names it
	message string
}

func refuse(code, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// invalid is what the service says of a parameter that is out of bounds.
func invalid(parameter string, value any, reason string) *refusal {
	return refuse(codeInvalidParameter, "Value %v for parameter %s is invalid. Reason: %s", value, parameter, reason)
}

func missing(parameter string) *refusal {
	return refuse("MissingParameter", "The request must contain the parameter %s.", parameter)
}

const (
	codeInvalidParameter = "InvalidParameterValue"
	codeNoQueue          = "QueueDoesNotExist"
	codeUnsupported      = "UnsupportedOperation"
	codeThrottled        = "RequestThrottled"
	codeMalformed        = "SerializationException"
	queryPrefix          = "AWS.SimpleQueueService."
)

// kinds are the errors that are not plain: their older names, which clients of the JSON protocol are told too, and
// their status. The service's own model has them.
var kinds = map[string]struct {
	query  string // the same as the code when ""
	status int    // 400 when 0
}{
	"BatchEntryIdsNotDistinct":     {query: queryPrefix + "BatchEntryIdsNotDistinct"},
	"BatchRequestTooLong":          {query: queryPrefix + "BatchRequestTooLong"},
	"EmptyBatchRequest":            {query: queryPrefix + "EmptyBatchRequest"},
	"InvalidBatchEntryId":          {query: queryPrefix + "InvalidBatchEntryId"},
	"MessageNotInflight":           {query: queryPrefix + "MessageNotInflight"},
	"QueueDeletedRecently":         {query: queryPrefix + "QueueDeletedRecently"},
	codeNoQueue:                    {query: queryPrefix + "NonExistentQueue"},
	"TooManyEntriesInBatchRequest": {query: queryPrefix + "TooManyEntriesInBatchRequest"},
	codeUnsupported:                {query: queryPrefix + "UnsupportedOperation"},
	"QueueNameExists":              {query: "QueueAlreadyExists"},
	"PurgeQueueInProgress":         {query: queryPrefix + "PurgeQueueInProgress", status: http.StatusForbidden},
	"InvalidAddress":               {status: http.StatusNotFound},
	"InvalidSecurity":              {status: http.StatusForbidden},
	"OverLimit":                    {status: http.StatusForbidden},
	"ReceiptHandleIsInvalid":       {status: http.StatusNotFound},
	codeThrottled:                  {status: http.StatusForbidden},
	"ResourceNotFoundException":    {status: http.StatusNotFound},
	"AccessDenied":                 {status: http.StatusForbidden},
	"ExpiredToken":                 {status: http.StatusForbidden},
	"InvalidClientTokenId":         {status: http.StatusForbidden},
	"SignatureDoesNotMatch":        {status: http.StatusForbidden},
	"InternalError":                {status: http.StatusInternalServerError},
	"InternalFailure":              {status: http.StatusInternalServerError},
	"ServiceUnavailable":           {status: http.StatusServiceUnavailable},
}

func (r *refusal) status() int {
	if s := kinds[r.code].status; s != 0 {
		return s
	}
	return http.StatusBadRequest
}

func (r *refusal) query() string {
	if q := kinds[r.code].query; q != "" {
		return q
	}
	return r.code
}

// shape is the name of the error's type in an answer.
func (r *refusal) shape() string {
	switch r.code {
	case codeInvalidParameter, "MissingParameter", "AccessDenied", codeMalformed:
		return "com.amazon.coral.service#" + r.code
	}
	return "com.amazonaws.sqs#" + r.code
}
