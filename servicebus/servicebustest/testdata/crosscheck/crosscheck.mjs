// Microsoft's Service Bus client for JavaScript against servicebustest: another client, on another AMQP stack, than the
// one that the Go tests use. Each check prints the rule of rules_test.go that it agrees to. Arguments: a connection
// string with all rights, one that may listen, one that may send.
import { ServiceBusClient, delay } from "@azure/service-bus";
import assert from "node:assert/strict";

const [, , all, listen, send] = process.argv;
const connect = (s) => new ServiceBusClient(s, { retryOptions: { maxRetries: 0, timeoutInMs: 3000 } });
const client = connect(all);
const wait = { maxWaitTimeInMs: 3000 };

// This client settles no message that has no ID.
let ids = 0;
const named = (m) => ({ messageId: `${++ids}`, ...m });

async function publish(entity, ...messages) {
  const s = client.createSender(entity);
  await s.sendMessages(messages.length === 1 ? named(messages[0]) : messages.map(named));
  await s.close();
}

// take receives exactly n messages.
async function take(r, n) {
  const out = [];
  while (out.length < n) {
    const ms = await r.receiveMessages(n - out.length, wait);
    assert(ms.length > 0, `${out.length} of ${n} messages came`);
    out.push(...ms);
  }
  return out;
}
const one = async (r) => (await take(r, 1))[0];
const none = async (r) => assert.deepEqual(await r.receiveMessages(1, { maxWaitTimeInMs: 200 }), []);
const bodies = (ms) => ms.map((m) => m.body);
const dead = (...entity) => client.createReceiver(...entity, { subQueueType: "deadLetter" });
const fails = (promise, ...codes) => assert.rejects(promise, (e) => codes.includes(e.code) || assert.fail(`${e.code}: ${e.message}`));

const rules = {
  async "a message arrives as it was sent"(r) {
    const applicationProperties = { "cloudEvents:id": "1", bool: true, int: 7, float: 2.5, time: new Date(1700000000123), nil: null };
    await publish("q", {
      body: { a: [1, "x"] }, messageId: "m1", subject: "s", contentType: "application/json", correlationId: "c", to: "to", replyTo: "r",
      replyToSessionId: "rs", partitionKey: "pk", timeToLive: 60000, applicationProperties,
    });
    const m = await one(r);
    assert.deepEqual(m.body, { a: [1, "x"] });
    assert.deepEqual([m.messageId, m.subject, m.contentType, m.correlationId, m.to, m.replyTo, m.replyToSessionId, m.partitionKey, m.timeToLive],
      ["m1", "s", "application/json", "c", "to", "r", "rs", "pk", 60000]);
    assert.deepEqual({ ...m.applicationProperties }, { ...applicationProperties, time: 1700000000123 }); // as this client reads it
    assert.equal(m.deliveryCount ?? 0, 0);
    assert.equal(m.state, "active");
    assert(m.sequenceNumber.gt(0) && m.enqueuedTimeUtc <= new Date() && m.lockedUntilUtc > new Date() && m.lockToken);
    await r.completeMessage(m);
  },
  async "a batch is taken whole"(r) {
    const s = client.createSender("q");
    const batch = await s.createMessageBatch();
    for (let i = 0; i < 50; i++) assert(batch.tryAddMessage({ body: i, messageId: `${i}` }));
    assert(!batch.tryAddMessage({ body: Buffer.alloc(300000) }));
    await s.sendMessages(batch);
    const ms = await take(r, 50);
    assert.deepEqual(bodies(ms), [...Array(50).keys()]);
    for (const m of ms) await r.completeMessage(m);
  },
  async "a large message travels in several frames"(r) {
    const body = Buffer.alloc(200000, "abc");
    await publish("q", { body });
    const m = await one(r);
    assert(body.equals(m.body));
    await r.completeMessage(m);
  },
  async "a message beyond the limit is refused"(r) {
    await fails(publish("q", { body: Buffer.alloc(300000) }), "MessageSizeExceeded");
    await none(r);
  },
  async "a duplicate is taken and thrown away, within the window"() {
    await publish("dup", { body: 1, messageId: "same" }, { body: 2, messageId: "same" }, { body: 3, messageId: "other" });
    assert.deepEqual(bodies(await take(client.createReceiver("dup", { receiveMode: "receiveAndDelete" }), 2)), [1, 3]);
  },
  async "a message outlives its time to live as a dead letter, where the entity says so"() {
    await publish("ttl", { body: "x", timeToLive: 100 });
    const d = dead("ttl");
    const m = await one(d);
    assert.equal(m.deadLetterReason, "TTLExpiredException");
    await d.completeMessage(m);
  },
  async "a scheduled message is enqueued when it is due, with a number of its own"(r) {
    const s = client.createSender("q");
    const at = new Date(Date.now() + 1000);
    const [soon, never] = await s.scheduleMessages([{ body: "soon" }, { body: "never" }].map(named), at);
    await s.cancelScheduledMessages(never);
    await fails(s.cancelScheduledMessages(never), "MessageNotFound");
    const peeked = await r.peekMessages(5, { fromSequenceNumber: soon });
    assert.deepEqual([bodies(peeked), peeked[0].state], [["soon"], "scheduled"]);
    const m = await one(r);
    assert.equal(m.body, "soon");
    assert(m.enqueuedTimeUtc >= at && m.sequenceNumber.gt(never));
    await r.completeMessage(m);
  },
  async "receive and delete leaves nothing"(r) {
    await publish("q", { body: 1 }, { body: 2 });
    const d = client.createReceiver("q", { receiveMode: "receiveAndDelete" });
    assert.deepEqual(bodies(await take(d, 2)), [1, 2]);
    await d.close();
    await none(r);
  },
  async "a receiver waits for the next message"(r) {
    const [m] = await Promise.all([one(r), delay(100).then(() => publish("q", { body: "late" }))]);
    assert.equal(m.body, "late");
    await r.completeMessage(m);
  },
  async "credit that is drained brings nothing more"(r) {
    await publish("q", { body: 1 });
    const ms = await r.receiveMessages(5, { maxWaitTimeInMs: 300 }); // drains the other four
    assert.equal(ms.length, 1);
    await publish("q", { body: 2 });
    assert.equal((await r.peekMessages(5, { fromSequenceNumber: ms[0].sequenceNumber })).length, 2);
    for (const m of [...ms, await one(r)]) await r.completeMessage(m);
  },
  async "a completed message is gone"(r) {
    await publish("q", { body: 1 });
    const m = await one(r);
    await r.completeMessage(m);
    assert.deepEqual(await r.peekMessages(5, { fromSequenceNumber: m.sequenceNumber }), []);
  },
  async "an abandoned message comes again, changed and counted, before those behind it"(r) {
    await publish("q", { body: 1, applicationProperties: { kept: 1, changed: "a" } }, { body: 2 });
    await r.abandonMessage(await one(r), { changed: "b" });
    const ms = await take(r, 2);
    assert.deepEqual(bodies(ms), [1, 2]);
    assert.equal(ms[0].deliveryCount, 1); // this client counts those before
    assert.deepEqual({ ...ms[0].applicationProperties }, { kept: 1, changed: "b" });
    for (const m of ms) await r.completeMessage(m);
  },
  async "too many deliveries make a dead letter"(r) {
    await publish("q", { body: "poison" });
    for (let i = 0; i < 3; i++) await r.abandonMessage(await one(r));
    const d = dead("q");
    const m = await one(d);
    assert.deepEqual([m.body, m.deadLetterReason], ["poison", "MaxDeliveryCountExceeded"]);
    await d.completeMessage(m);
    await d.close();
  },
  async "a dead letter has reason, description and properties"(r) {
    await publish("q", { body: 1 });
    await r.deadLetterMessage(await one(r), { deadLetterReason: "bad", deadLetterErrorDescription: "why", k: "v" });
    const d = dead("q");
    const m = await one(d);
    assert.deepEqual([m.deadLetterReason, m.deadLetterErrorDescription, m.applicationProperties.k], ["bad", "why", "v"]);
    await d.completeMessage(m);
    await d.close();
  },
  async "a deferred message is received by its number only"(r) {
    await publish("q", { body: 1 });
    const { sequenceNumber } = await one(r).then(async (m) => (await r.deferMessage(m), m));
    await none(r);
    let [m] = await r.receiveDeferredMessages(sequenceNumber);
    await r.abandonMessage(m);
    await none(r);
    [m] = await r.receiveDeferredMessages(sequenceNumber);
    assert.deepEqual([m.body, m.state, m.deliveryCount], [1, "deferred", 1]);
    await r.completeMessage(m);
    await fails(r.receiveDeferredMessages(sequenceNumber), "MessageNotFound");
  },
  async "a lock that runs out gives the message back and counts"() {
    await publish("prompt", { body: 1 });
    const r = client.createReceiver("prompt", { maxAutoLockRenewalDurationInMs: 0 });
    const m = await one(r);
    const again = await one(r);
    assert.equal(again.deliveryCount, 1);
    await fails(r.completeMessage(m), "MessageLockLost");
    await r.completeMessage(again);
    await r.close();
  },
  async "a renewed lock lasts from then"() {
    await publish("prompt", { body: 1 });
    const r = client.createReceiver("prompt", { maxAutoLockRenewalDurationInMs: 0 });
    const m = await one(r);
    for (let i = 0; i < 3; i++) {
      await delay(600);
      assert((await r.renewMessageLock(m)) > new Date());
    }
    await r.completeMessage(m);
    await r.close();
  },
  async "a session's messages come in order, and none of another's"() {
    await publish("sess", ...["a1", "b1", "a2"].map((body) => ({ body, sessionId: body[0] })));
    for (const [id, want] of [["a", ["a1", "a2"]], ["b", ["b1"]]]) {
      const r = await client.acceptSession("sess", id);
      assert(r.sessionId === id && r.sessionLockedUntilUtc > new Date());
      const ms = await take(r, want.length);
      assert.deepEqual(bodies(ms), want);
      for (const m of ms) await r.completeMessage(m);
      await r.close();
    }
  },
  async "a session has one receiver at a time"() {
    const r = await client.acceptSession("sess", "a");
    await fails(client.acceptSession("sess", "a"), "SessionCannotBeLocked");
    await r.close();
    await (await client.acceptSession("sess", "a")).close();
  },
  async "the next session is a free one with messages"() {
    await publish("sess", { body: 1, sessionId: "a" }, { body: 2, sessionId: "b" });
    const a = await client.acceptSession("sess", "a");
    const b = await client.acceptNextSession("sess");
    assert.equal(b.sessionId, "b");
    for (const r of [a, b]) {
      await r.completeMessage(await one(r));
      await r.close();
    }
  },
  async "who waits for a session gets the first that comes"() {
    const [r] = await Promise.all([client.acceptNextSession("sess"), delay(100).then(() => publish("sess", { body: 1, sessionId: "c" }))]);
    assert.equal(r.sessionId, "c");
    await r.completeMessage(await one(r));
    await r.close();
  },
  async "without a free session there is a timeout"() {
    await fails(client.acceptNextSession("sess"), "ServiceTimeout", "OperationTimeoutError");
  },
  async "a session's state stays"() {
    let r = await client.acceptSession("sess", "a");
    assert.equal(await r.getSessionState(), null);
    await r.setSessionState("half way");
    await r.close();
    r = await client.acceptSession("sess", "a");
    assert.equal(await r.getSessionState(), "half way");
    await r.setSessionState(null);
    assert.equal(await r.getSessionState(), null);
    await r.close();
  },
  async "a session's lock is renewed, and its messages' with it"() {
    await publish("fleet", { body: 1, sessionId: "a" });
    const r = await client.acceptSession("fleet", "a", { maxAutoLockRenewalDurationInMs: 0 });
    const m = await one(r);
    for (let i = 0; i < 3; i++) {
      await delay(600);
      assert((await r.renewSessionLock()) > new Date());
    }
    await r.completeMessage(m);
    await r.close();
  },
  async "a session's lock that runs out detaches its receiver and counts its messages"() {
    await publish("fleet", { body: 1, sessionId: "b" });
    const r = await client.acceptSession("fleet", "b", { maxAutoLockRenewalDurationInMs: 0 });
    const m = await one(r);
    await delay(1200);
    await fails(r.completeMessage(m), "SessionLockLost");
    const again = await client.acceptSession("fleet", "b");
    const [n] = await take(again, 1);
    assert.equal(n.deliveryCount, 1);
    await again.completeMessage(n);
    await again.close();
  },
  async "too many deliveries in a session make a dead letter, which needs no session"() {
    await publish("sess", { body: "poison", sessionId: "a" });
    const r = await client.acceptSession("sess", "a");
    for (let i = 0; i < 10; i++) await r.abandonMessage(await one(r));
    await r.close();
    const d = dead("sess");
    const m = await one(d);
    assert.deepEqual([m.body, m.sessionId], ["poison", "a"]);
    await d.completeMessage(m);
    await d.close();
  },
  async "a message of a session is deferred in it"() {
    await publish("sess", { body: 1, sessionId: "a" });
    const r = await client.acceptSession("sess", "a");
    const m = await one(r);
    await r.deferMessage(m);
    const [d] = await r.receiveDeferredMessages(m.sequenceNumber);
    await r.completeMessage(d);
    await r.close();
  },
  async "an entity of sessions takes no message without one"() {
    await fails(publish("sess", { body: 1 }), "GeneralError");
  },
  async "receivers and entities agree about sessions"() {
    await fails(client.createReceiver("sess").receiveMessages(1, wait), "GeneralError");
    await fails(client.acceptSession("q", "a"), "GeneralError", "SessionCannotBeLocked"); // it looks for the session first
  },
  async "every subscription has a copy, of what its filters let pass"() {
    await publish("t", { body: 1, subject: "a" }, { body: 2, subject: "b" });
    for (const [sub, want] of [["all", [1, 2]], ["subject", [2]]]) {
      const r = client.createReceiver("t", sub, { receiveMode: "receiveAndDelete" });
      assert.deepEqual(bodies(await take(r, want.length)), want);
      await r.close();
    }
  },
  async "a subscription has dead letters of its own"() {
    await publish("t", { body: 1 });
    const r = client.createReceiver("t", "all");
    await r.deadLetterMessage(await one(r));
    await r.close();
    const d = dead("t", "all");
    await d.completeMessage(await one(d));
    await d.close();
  },
  async "a message can be scheduled in a topic"() {
    await client.createSender("t").scheduleMessages(named({ body: 1 }), new Date(Date.now() + 300));
    const r = client.createReceiver("t", "all");
    await r.completeMessage(await one(r));
    await r.close();
  },
  async "peeking shows all and locks nothing"(r) {
    await publish("q", { body: "locked" }, { body: "deferred" }, { body: "active" });
    const [m, n] = await take(r, 2);
    await r.deferMessage(n);
    const peeked = await r.peekMessages(5, { fromSequenceNumber: m.sequenceNumber });
    assert.deepEqual(peeked.map((p) => [p.body, p.state]), [["locked", "active"], ["deferred", "deferred"], ["active", "active"]]);
    await r.completeMessage(m);
    await r.completeMessage(await one(r));
    await r.completeMessage((await r.receiveDeferredMessages(n.sequenceNumber))[0]);
  },
  async "a missing entity is not found"() {
    await fails(publish("missing", { body: 1 }), "MessagingEntityNotFound");
    await fails(client.createReceiver("missing").receiveMessages(1, wait), "MessagingEntityNotFound");
    await fails(client.createReceiver("t", "missing").receiveMessages(1, wait), "MessagingEntityNotFound");
  },
  async "a wrong key opens nothing"() {
    const wrong = connect(all.replace("SharedAccessKey=", "SharedAccessKey=x"));
    await fails(wrong.createSender("q").sendMessages(named({ body: 1 })), "UnauthorizedAccess");
    await wrong.close();
  },
  async "the right to listen is enough to receive, and does not send"() {
    await publish("q", { body: 1 });
    const c = connect(listen);
    const r = c.createReceiver("q");
    const m = await one(r);
    await r.renewMessageLock(m);
    await r.completeMessage(m);
    await fails(c.createSender("q").sendMessages(named({ body: 1 })), "UnauthorizedAccess");
    await c.close();
  },
  async "the right to send is enough to send, and does not receive"(r) {
    const c = connect(send);
    await c.createSender("q").sendMessages(named({ body: 1 }));
    await fails(c.createReceiver("q").receiveMessages(1, wait), "UnauthorizedAccess");
    await c.close();
    await r.completeMessage(await one(r));
  },
};

for (const [name, check] of Object.entries(rules)) {
  const r = client.createReceiver("q");
  try {
    await check(r);
  } catch (e) {
    console.error(`refused: ${name}`, e);
    process.exit(1);
  }
  await r.close();
  console.log(`agreed: ${name}`);
}
await client.close();
process.exit(0);
