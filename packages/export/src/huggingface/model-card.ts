import { numStepsOf } from '@locmoe/run-format';
import type { Manifest } from 'locmoe/internal/checkpoint/manifest';
import { hasQueryLayer } from 'locmoe/internal/config/model-schema';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { sourcesOf } from 'locmoe/internal/data/built-in/sources';
import { templateOf } from 'locmoe/internal/data/template';
import { heldExperts, moeSchema, routerPolicy } from 'locmoe/internal/routing/index';
import type { RunFacts } from './run-facts.js';

/** Natural languages of the built-in domains, as the hub names them. */
const LANGUAGES: Readonly<Record<string, readonly string[]>> = {
  en: ['en'],
  zh: ['zh'],
  telecom: ['en'],
  bilingual: ['en', 'zh'],
};

/**
 * Writes README.md of an exported folder, as the page of a model on the HuggingFace hub. Unknown facts are left out.
 *
 * @param modelType `model_type` of config.json; `locmoe` comes with code
 */
export function modelCard(
  { config, runId, step }: Pick<Manifest, 'config' | 'runId' | 'step'>,
  facts: RunFacts,
  modelType: string,
  endOfText: string,
): string {
  const hasCode = modelType === 'locmoe';
  const { model, moe } = config;
  const planned = numStepsOf(config);
  const usesDomain = model.numSparseLayers > 0 && moe.expertGroups > 1 && moe.subModel === null;
  return `---
library_name: transformers
pipeline_tag: text-generation
${languages(config)}tags:
- ${modelType}
${model.numSparseLayers > 0 ? '- moe\n' : ''}---

# ${config.name}

${describe(config)} Trained with locmoe for ${step}${step < planned ? ` of ${planned} planned` : ''} steps of
${config.train.globalBatch} sequences of ${config.model.seqLen} tokens (run ${runId}).

## Training text

${trainingText(config, facts)}

${domains(config, usesDomain)}
${model.numSparseLayers > 0 ? router(config) : ''}${evaluation(facts)}
## Use

A text begins with \`${endOfText}\`, as every text did in training.

\`\`\`python
${withTransformers(config, hasCode, usesDomain, `${endOfText}The`)}
\`\`\`
${withMessages(config, usesDomain)}${hasCode ? withoutTransformers(config) : ''}
## Limits

${limits(config)}

## Licence

None is given here: choose one, and mind those of the training text.
`;
}

function languages({ data }: RunConfig): string {
  const builtIn = data.domains.filter((domain) => !Object.hasOwn(data.sources, domain));
  const names = new Set(builtIn.flatMap((domain) => LANGUAGES[domain] ?? []));
  return names.size === 0 ? '' : `language:\n${[...names].map((name) => `- ${name}\n`).join('')}`;
}

/** Writes a table of the domains: the source of their text, its licence, and its size if the dataset still exists. */
function trainingText({ data }: RunConfig, facts: RunFacts): string {
  const rows = data.domains.map((name) => {
    const builtIn = Object.hasOwn(data.sources, name) ? [] : sourcesOf(name, data.corpus);
    const sources = builtIn.map(({ source }) => source);
    const packages = sources.map(({ packageName, publishedAs }) => `\`${publishedAs ?? packageName}\``);
    const licences = new Set(sources.map(({ licence }) => licence));
    const size = facts.domains.find((domain) => domain.name === name);
    return [
      `\`${name}\``,
      packages.length > 0 ? packages.join(', ') : "its trainer's own",
      [...licences].join('; '),
      ...(facts.domains.length === 0 ? [] : [sizeOf(size?.train), sizeOf(size?.validation)]),
    ];
  });
  const sizes = facts.domains.length === 0 ? [] : ['for training', 'for validation'];
  return table(['domain', 'npm packages that it was taken from', 'licence of the text', ...sizes], rows);
}

function sizeOf(split: RunFacts['domains'][number]['train'] | undefined): string {
  if (split === undefined) return '';
  const { documents, bytes, tokens } = split;
  const size = bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  return `${documents.toLocaleString('en')} documents, ${size}, ${tokens.toLocaleString('en')} tokens`;
}

/** Describes the settings of the router as in docs/configuration.md; lists and tables are left out. */
function router({ moe }: RunConfig): string {
  const { numExperts, dFeedForward, sharedExperts, expertGroups, capacityFactor } = moeSchema.shape;
  const common = { numExperts, dFeedForward, sharedExperts, expertGroups, capacityFactor };
  const fields = Object.entries({ ...common, ...routerPolicy(moe.router).fields });
  const values: Readonly<Record<string, unknown>> = moe;
  const rows = fields.flatMap(([field, { description = '' }]) => {
    const value = values[field];
    if (value === undefined || (typeof value === 'object' && value !== null)) return [];
    return [[`\`${field}\``, String(value), description]];
  });
  return `
## Router

\`${moe.router}\`, with the settings of its training:

${table(['setting', 'value', 'meaning'], rows)}
`;
}

function evaluation({ validation }: RunFacts): string {
  if (validation === null) return '';
  const rows = validation.domains.map(({ domain, loss, tokens }) => [
    `\`${domain}\``,
    loss.toFixed(3),
    Math.exp(loss).toFixed(1),
    tokens.toLocaleString('en'),
  ]);
  return `
## Evaluation

On validation text at step ${validation.step}, nats for a token:

${table(['domain', 'loss', 'perplexity', 'tokens'], rows)}
`;
}

function limits({ data, model, moe }: RunConfig): string {
  const answers = data.domains.filter((_, domain) => templateOf(data, domain) !== null);
  return [
    `- It sees at most ${model.seqLen} tokens.`,
    `- It knows the text above and nothing else, and may repeat it word for word.`,
    answers.length === 0
      ? '- It continues texts; it was not trained to answer or to follow instructions.'
      : `- It was trained to answer in ${answers.map((name) => `\`${name}\``).join(', ')} alone.`,
    '- Nothing keeps it from text that is false or does harm.',
    ...(model.numSparseLayers > 0 && moe.capacityFactor !== null
      ? [
          '- In training experts dropped tokens over their capacity; here they take all that the router gives them.',
        ]
      : []),
  ].join('\n');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

function describe({ model, moe }: RunConfig): string {
  const layers = `${model.numDenseLayers} dense ${model.numDenseLayers === 1 ? 'layer' : 'layers'}`;
  const size = `hidden size ${model.dModel}, ${model.numHeads} heads, ${model.vocabSize} tokens`;
  const query = hasQueryLayer(model) ? ", and PanGu's query layer on top" : '';
  if (model.numSparseLayers === 0) return `A language model of ${layers}${query} (${size}).`;
  const sparseLayers = `${model.numSparseLayers} sparse ${model.numSparseLayers === 1 ? 'layer' : 'layers'}`;
  const sparse = `${sparseLayers} of ${heldExperts(moe).count} experts`;
  return `A mixture-of-experts language model of ${layers} and ${sparse}${query} (${size}).`;
}

function domains({ moe }: RunConfig, usesDomain: boolean): string {
  if (moe.subModel !== null)
    return `The model is the part of a larger one that texts of domain \`${moe.subModel.domain}\` used.`;
  if (!usesDomain) return '';
  const size = moe.numExperts / moe.expertGroups;
  return `The domain of a text decides which ${size} of the ${moe.numExperts} experts of a layer it may use.
Name it with \`domain\`; where you do not, it is \`domain\` of config.json.`;
}

function withTransformers({ data }: RunConfig, hasCode: boolean, usesDomain: boolean, text: string): string {
  const remote = hasCode ? ', trust_remote_code=True' : '';
  const domain = usesDomain ? `domain=${JSON.stringify(data.domains[0])}, ` : '';
  return `from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForCausalLM.from_pretrained("FOLDER"${remote})
inputs = tokenizer(${JSON.stringify(text)}, return_tensors="pt")
tokens = model.generate(**inputs, ${domain}max_new_tokens=40, do_sample=True, top_k=40)
print(tokenizer.decode(tokens[0]))`;
}

/**
 * Writes the section for a model that was fine-tuned with answers; its code continues that of the section
 * before.
 */
function withMessages({ data }: RunConfig, usesDomain: boolean): string {
  const name = data.domains.find((_, domain) => templateOf(data, domain) !== null);
  if (name === undefined) return '';
  const domain = usesDomain ? `domain=${JSON.stringify(name)}, ` : '';
  return `
It learned answers to questions, in the form that the chat template gives them:

\`\`\`python
messages = [{"role": "user", "content": "..."}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
tokens = model.generate(**inputs, ${domain}max_new_tokens=40)
\`\`\`
`;
}

function withoutTransformers({ data }: RunConfig): string {
  return `
With PyTorch and safetensors alone (\`locmoe.py\` interprets \`architecture\` of config.json):

\`\`\`python
import sys, torch
sys.path.insert(0, "FOLDER")
from locmoe import load

model = load("FOLDER")
domain_ids = torch.tensor([model.config.domains.index(${JSON.stringify(data.domains[0])})])
logits = model(torch.tensor([[model.config.bos_token_id]]), domain_ids)  # [1, 1, vocabulary]
\`\`\`
`;
}
