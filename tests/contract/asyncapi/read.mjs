// Reads what an integrator gets: the AsyncAPI document with AsyncAPI's own parser, the JSON
// Schemas and the examples with Ajv. Prints one JSON object of what was found.
import { readdirSync, readFileSync } from 'node:fs'
import { join, parse } from 'node:path'
import { Parser } from '@asyncapi/parser'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

const folder = process.argv[2]
const text = (...path) => readFileSync(join(folder, ...path), 'utf8')

const { document, diagnostics } = await new Parser().parse(text('asyncapi.json'))
const types = document?.components().messages().all().map(message => message.id()) ?? []

const ajv = new Ajv2020({ strict: true, strictRequired: false, allErrors: true })
addFormats.default(ajv)
const refused = {}
const admitted = []
for (const type of readdirSync(join(folder, 'events')).map(name => parse(name).name)) {
  const valid = ajv.compile(JSON.parse(text('events', `${type}.json`)))
  const example = JSON.parse(text('examples', `${type}.json`))
  if (!valid(example)) refused[type] = ajv.errorsText(valid.errors)
  for (const name of Object.keys(example)) {
    const { [name]: _, ...without } = example
    if (valid(without)) admitted.push(`${type}.${name}`)
  }
}

console.log(JSON.stringify({
  diagnostics: diagnostics.map(({ severity, code, message }) => ({ severity, code, message })),
  version: document?.version() ?? null,
  channels: document?.channels().all().map(channel => channel.address()) ?? [],
  actions: document?.operations().all().map(operation => operation.action()) ?? [],
  types,
  refused,
  admitted,
}))
