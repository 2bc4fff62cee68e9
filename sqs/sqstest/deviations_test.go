package sqstest_test

// deviations are what other servers do otherwise than Amazon documents, by rule and server: moto 5.2.1, fauxqs 1.9.2
// and ElasticMQ 1.6.9. A deviation that is mended fails the test, so that its line goes.
var deviations = map[string]map[string]string{
	// Queues.
	"a queue's name is letters, digits, hyphens and underscores, at most 80": {
		"fauxqs": "takes spaces",
	},
	"queues are listed in pages": {
		"moto": "gives all", "fauxqs": "gives all", "elasticmq": "gives all",
	},
	"a standard queue's attributes have the documented defaults": {
		"elasticmq": "has no retention",
	},
	"the greatest message is 1 MiB by default": {
		"elasticmq": "has no attribute for it, and a limit of 256 KiB",
	},
	"a FIFO queue's attributes have the documented defaults": {
		"elasticmq": "does not know high throughput",
	},
	"an attribute that there is not cannot be asked for": {
		"fauxqs": "leaves it out", "elasticmq": "leaves it out",
	},
	"an attribute out of its bounds is refused": {
		"moto": "takes any", "elasticmq": "takes any",
	},
	"an attribute that there is not cannot be set": {
		"moto": "takes it",
	},
	"a queue does not become FIFO": {
		"moto": "takes the attribute", "elasticmq": "takes the attribute",
	},
	"a limit per group needs duplicates per group": {
		"moto": "takes one without the other", "fauxqs": "takes one without the other", "elasticmq": "takes one without the other",
	},
	"a second purge within a minute is refused": {
		"moto": "purges", "fauxqs": "purges", "elasticmq": "purges",
	},
	"a deleted queue's name is not free for a minute": {
		"moto": "is free at once", "fauxqs": "is free at once", "elasticmq": "is free at once",
	},

	// Sending.
	"a message is received as it was sent": {
		"fauxqs": "refuses characters beyond the first 65,536, which are documented as allowed",
	},
	"bodies and attributes have their MD5s": {
		"fauxqs": "gives the MD5 of all attributes when only some are received",
	},
	"a message of 1 MiB is taken, with its attributes, and no byte more": {
		"moto": "does not count attributes", "elasticmq": "has a limit of 256 KiB",
	},
	"a queue may have a lower limit": {
		"elasticmq": "ignores MaximumMessageSize",
	},
	"a body has at least one character": {
		"moto": "takes none",
	},
	"a body holds no character that XML does not allow": {
		"moto": "takes U+FFFE", "elasticmq": "refuses with InvalidAttributeValue",
	},
	"a message has at most ten attributes": {
		"moto": "takes more", "fauxqs": "takes more",
	},
	"an attribute's name is letters, digits, hyphens, underscores and single periods inside, and is not AWS's own": {
		"moto": "takes any", "fauxqs": "takes any", "elasticmq": "takes any",
	},
	"an attribute is a string, a number or binary": {
		"fauxqs": "takes any type",
	},
	"an attribute that is a number is one": {
		"moto": "takes any text", "fauxqs": "takes any text",
	},
	"an attribute has a value": {
		"moto": "takes none", "fauxqs": "takes none",
	},
	"a delay is at most 15 minutes": {
		"fauxqs": "takes any outside of a batch",
	},
	"the trace header travels beside the attributes": {
		"moto": "gives no MD5 of it", "fauxqs": "gives no MD5 of it",
	},
	"a standard queue takes a group": {
		"fauxqs": "forgets it", "elasticmq": "refuses it",
	},
	"a standard queue takes no deduplication ID": {
		"moto": "takes one", "fauxqs": "takes one",
	},

	// Batches.
	"a batch of none is refused": {
		"elasticmq": "answers with nothing",
	},
	"a batch with an odd ID is refused": {
		"elasticmq": "takes it",
	},
	"a batch of more than 1 MiB is refused": {
		"elasticmq": "has a limit of 256 KiB",
	},
	"a batch fails in part, by ID": {
		"moto": "takes the odd character", "elasticmq": "says InvalidAttributeValue",
	},
	"one of a batch that is too large for the queue fails alone": {
		"moto": "refuses the batch", "elasticmq": "ignores MaximumMessageSize",
	},
	"deletes fail in part, by ID": {
		"fauxqs": "says that it deleted what never was",
	},
	"a batch of no deletes, or of eleven, is refused": {
		"moto": "says that the IDs are not distinct", "elasticmq": "answers with nothing",
	},

	// Receiving.
	"a timeout is at most 12 hours": {
		"elasticmq": "takes any",
	},
	"no attributes come that are not asked for": {
		"fauxqs": "gives all message attributes",
	},
	"attributes come by name and by prefix": {
		"elasticmq": "does not know prefixes",
	},
	"a message is gone after its retention": {
		"fauxqs": "keeps it", "elasticmq": "keeps it",
	},

	// Settling.
	"a message is deleted twice without an error": {
		"elasticmq": "says that the handle is invalid",
	},
	"a delete by an older handle succeeds": {
		"elasticmq": "says that the handle is invalid",
	},
	"a delete by an older handle leaves the message to who has it": {
		"moto": "deletes it",
	},
	"a handle that never was is refused by a delete": {
		"fauxqs": "takes it",
	},
	"a handle that never was is refused by a change of visibility": {
		"fauxqs": "says MessageNotInflight",
	},
	"a visibility is at most 12 hours": {
		"elasticmq": "takes any",
	},
	"a message is hidden for 12 hours in all at most": {
		"fauxqs": "begins anew with each change", "elasticmq": "begins anew with each change",
	},
	"the visibility of a visible message cannot be changed": {
		"moto": "changes it", "elasticmq": "changes it",
	},
	"the visibility of a message that another received cannot be changed": {
		"moto": "changes it",
	},

	// FIFO.
	"one receive takes several messages of a group": {
		"fauxqs": "gives one of a group at a time",
	},
	"a group waits for all of its messages in flight": {
		"fauxqs": "gives one of a group at a time",
	},
	"a message that comes back waits for those of its group that are in flight": {
		"fauxqs": "gives one of a group at a time", "elasticmq": "gives it at once",
	},
	"groups and deduplication IDs are 128 letters, digits and punctuation marks at most": {
		"moto": "takes spaces", "fauxqs": "takes any",
	},
	"a duplicate is answered with the ID and the number of the first": {
		"moto": "makes a new ID",
	},
	"a duplicate of a deleted message is one": {
		"moto": "forgets deleted messages",
	},
	"the same content is a duplicate, where the queue says so": {
		"fauxqs": "gives one of a group at a time",
	},
	"duplicates are told apart by group, where the queue says so": {
		"moto": "ignores DeduplicationScope", "fauxqs": "ignores DeduplicationScope", "elasticmq": "ignores DeduplicationScope",
	},
	"sequence numbers grow": {
		"moto": "answers without one",
	},
	"a handle whose timeout ran out deletes nothing in a FIFO queue": {
		"moto": "deletes", "fauxqs": "deletes", "elasticmq": "deletes",
	},
	"the same attempt receives the same messages again": {
		"moto": "ignores attempts", "fauxqs": "ignores attempts",
	},
	"the same attempt receives the same handles again": {
		"moto": "ignores attempts", "fauxqs": "ignores attempts", "elasticmq": "gives new handles",
	},
	"an attempt whose messages were touched receives anew": {
		"elasticmq": "answers with a 500",
	},

	// Dead letters.
	"a dead letter's receives go on counting": {
		"fauxqs": "counts the receive that moves it, too",
	},
	"a dead letter says which queue it came from": {
		"moto": "does not say", "fauxqs": "does not say", "elasticmq": "does not say",
	},
	"a dead letter does not hold its group": {
		"elasticmq": "gives the group's next message one receive later",
	},
	"a redrive policy needs a queue that exists": {
		"fauxqs": "takes any",
	},
	"a redrive policy needs a queue of the same kind": {
		"moto": "takes any", "fauxqs": "takes any", "elasticmq": "takes any",
	},
	"a redrive policy has from 1 to 1,000 receives": {
		"moto": "takes any number", "fauxqs": "takes any number",
	},
	"a redrive policy is taken away by an empty one": {
		"fauxqs": "keeps an empty one", "elasticmq": "refuses an empty one",
	},
	"a dead-letter queue chooses whose it is": {
		"moto": "ignores RedriveAllowPolicy", "fauxqs": "ignores RedriveAllowPolicy", "elasticmq": "ignores RedriveAllowPolicy",
	},
	"a dead-letter queue knows its sources": {
		"fauxqs": "does not know the action",
	},
	"dead letters go back where they came from": {
		"moto": "answers with a 500", "fauxqs": "does not know the action",
	},
	"dead letters that go back are new messages": {
		"moto": "answers with a 500", "fauxqs": "does not know the action", "elasticmq": "keeps their IDs and counts",
	},
	"dead letters go where they are sent": {
		"moto": "answers with a 500", "fauxqs": "does not know the action",
	},
	"only a dead-letter queue's messages are moved": {
		"moto": "answers with a 500", "fauxqs": "does not know the action", "elasticmq": "answers with a 500",
	},
	"messages are not moved from a queue that is not there": {
		"moto": "answers with a 500", "fauxqs": "does not know the action", "elasticmq": "says QueueDoesNotExist",
	},
	"a slow move runs, and is the only one": {
		"moto": "answers with a 500", "fauxqs": "does not know the action",
	},
	"a slow move is cancelled": {
		"moto": "answers with a 500", "fauxqs": "does not know the action", "elasticmq": "goes on to say that it runs",
	},
	"a move that never was cannot be cancelled": {
		"moto": "answers with a 500", "fauxqs": "does not know the action",
	},
}

// rulesAlone are the exceptions, with where Amazon documents what no other server does.
var rulesAlone = map[string]string{
	"queues are listed in pages":                                                                                   api + "ListQueues",
	"a limit per group needs duplicates per group":                                                                 api + "CreateQueue",
	"a second purge within a minute is refused":                                                                    api + "PurgeQueue",
	"a deleted queue's name is not free for a minute":                                                              api + "DeleteQueue",
	"duplicates are told apart by group, where the queue says so":                                                  api + "CreateQueue",
	"a handle whose timeout ran out deletes nothing in a FIFO queue":                                               api + "ReceiveMessage",
	"the same attempt receives the same handles again":                                                             api + "ReceiveMessage",
	"a dead letter says which queue it came from":                                                                  api + "StartMessageMoveTask",
	"a redrive policy needs a queue of the same kind":                                                              api + "CreateQueue",
	"a dead-letter queue chooses whose it is":                                                                      api + "CreateQueue",
	"dead letters that go back are new messages":                                                                   guide + "sqs-configure-dead-letter-queue-redrive.html",
	"only a dead-letter queue's messages are moved":                                                                api + "StartMessageMoveTask",
	"messages are not moved from a queue that is not there":                                                        api + "StartMessageMoveTask",
	"a slow move is cancelled":                                                                                     api + "CancelMessageMoveTask",
	"an attribute's name is letters, digits, hyphens, underscores and single periods inside, and is not AWS's own": guide + "sqs-message-metadata.html",
}

const (
	api   = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_"
	guide = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"
)
