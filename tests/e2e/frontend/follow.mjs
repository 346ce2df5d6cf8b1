// Starts a session with the stock Yivi frontend and follows it to its end.
//
// Standard input, a JSON object per line: first {url, headers, request, pairing}, later
// {pairingCode} when the state EnterPairingCode was reported.
// Standard output, a JSON object per line: {mappings}, {state} for every change, then {result}.

import { createInterface } from 'node:readline'
import { YiviClient } from '@privacybydesign/yivi-client'
import { YiviCore } from '@privacybydesign/yivi-core'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const told = async () => JSON.parse((await lines.next()).value)
const report = (what) => process.stdout.write(`${JSON.stringify(what)}\n`)

/** Reports every state, and types the pairing code as a user would. */
class Reporter {
  constructor({ stateMachine }) {
    this.stateMachine = stateMachine
  }

  async stateChange({ newState, transition, payload }) {
    if (transition === 'loaded') report({ mappings: payload })
    report({ state: newState })
    if (newState !== 'EnterPairingCode') return
    const { pairingCode } = await told()
    await this.stateMachine.selectTransition(() => ({
      transition: 'codeEntered',
      payload: { enteredPairingCode: pairingCode },
    }))
  }
}

const { url, headers, request, pairing } = await told()
const yivi = new YiviCore({
  session: { url, start: { method: 'POST', headers, body: JSON.stringify(request) } },
  state: pairing ? {} : { pairing: false },
})
yivi.use(Reporter)
yivi.use(YiviClient)
try {
  report({ result: await yivi.start() })
} catch (why) {
  report({ result: null, why: String(why) })
  process.exitCode = 1
}
process.stdin.destroy()
