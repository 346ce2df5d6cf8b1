// Follows a requestor's events on a queue of its own, with amqplib.
//
//   npm ci --ignore-scripts && AMQP_URL=amqps://... node subscribe_amqplib.mjs acme
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { connect } from 'amqplib'

const PAUSE_MS = 1_000
const PREFETCH = 50
const [key] = process.argv.slice(2)

// Yours is a table with a unique column, written in the transaction of what you do.
const seen = new Set()

// What is to be done about an event; if it fails, the event comes again.
async function handle (event) {
  console.log(JSON.stringify(event))
}

// Takes events until the connection is lost; those not acknowledged come again.
async function follow () {
  const connection = await connect(process.env.AMQP_URL, { timeout: 10_000 })
  connection.on('error', error => console.error(`away: ${error.code ?? error.name}`))
  const closed = once(connection, 'close')
  const channel = await connection.createChannel()
  channel.on('error', error => console.error(`refused: ${error.message}`))
  await channel.prefetch(PREFETCH)
  const { queue } = await channel.assertQueue(`${key}.amqplib`, { durable: true })
  // A type has one dot, as session.completed; "session.*.acme" takes fewer.
  await channel.bindQueue(queue, 'chain.events', `*.*.${key}`)
  let before = Promise.resolve() // one after the other, so their order stays
  await channel.consume(queue, message => {
    if (message === null) return connection.close() // the queue was deleted
    before = before.then(() => take(channel, message))
    before.catch(() => connection.close().catch(() => {}))
  })
  console.error('subscribed')
  await closed
}

async function take (channel, message) {
  const event = JSON.parse(message.content)
  if (!seen.has(event.id)) {
    await handle(event)
    seen.add(event.id)
  }
  channel.ack(message)
}

while (true) {
  await follow().catch(error => console.error(`away: ${error.code ?? error.name}`))
  await pause(PAUSE_MS)
}
