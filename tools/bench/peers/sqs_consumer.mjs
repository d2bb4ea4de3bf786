// npm sqs-consumer and Node's own fetch, as its documentation shows them.
//
// MODE=each: `handleMessage`, which deletes message by message. MODE=batch: `handleMessageBatch`,
// which deletes ten in a call, the cheapest that the library offers. Either way one consumer for ten
// connections, long polls, and the headers that the daemon sends.
import { SQSClient } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

const { QUEUE_URL, APP_URL, CONNECTIONS, MODE, AWS_ENDPOINT_URL_SQS } = process.env;
const queueName = QUEUE_URL.split("/").pop();
const sqs = new SQSClient({ endpoint: AWS_ENDPOINT_URL_SQS });

const time = (milliseconds) => new Date(Number(milliseconds)).toISOString();

async function post(message) {
  const about = message.Attributes;
  const answer = await fetch(APP_URL, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "User-Agent": "aws-sqsd/3.0.4",
      "X-Aws-Sqsd-Msgid": message.MessageId,
      "X-Aws-Sqsd-Receive-Count": about.ApproximateReceiveCount,
      "X-Aws-Sqsd-First-Received-At": time(about.ApproximateFirstReceiveTimestamp),
      "X-Aws-Sqsd-Sent-At": time(about.SentTimestamp),
      "X-Aws-Sqsd-Queue": queueName,
      "X-Aws-Sqsd-Path": "/",
      "X-Aws-Sqsd-Sender-Id": about.SenderId,
    },
    body: message.Body,
  });
  await answer.arrayBuffer();
  if (answer.status !== 200) throw new Error(`HTTP ${answer.status}`);
  return message;
}

const handle =
  MODE === "batch"
    ? { handleMessageBatch: (messages) => Promise.all(messages.map(post)) }
    : { handleMessage: post };

const consumers = Array.from({ length: Math.ceil(Number(CONNECTIONS) / 10) }, () => {
  const consumer = Consumer.create({
    queueUrl: QUEUE_URL,
    sqs,
    batchSize: 10,
    waitTimeSeconds: 20,
    visibilityTimeout: 300,
    messageSystemAttributeNames: ["All"],
    messageAttributeNames: ["All"],
    ...handle,
  });
  for (const event of ["error", "processing_error"]) {
    consumer.on(event, (error) => console.error(error.message));
  }
  consumer.start();
  return consumer;
});

process.on("SIGTERM", () => {
  for (const consumer of consumers) consumer.stop({ abort: true });
  setTimeout(() => process.exit(0), 50);
});
