import { numStepsOf } from '@locmoe/run-format';
import type { Manifest } from 'locmoe/internal/checkpoint/manifest';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { templateOf } from 'locmoe/internal/data/template';
import { heldExperts } from 'locmoe/internal/routing/domain-groups';

/** README.md of an exported folder, as a page of a model on the HuggingFace hub. */
export function modelCard({ config, runId, step }: Manifest, isGpt2: boolean, endOfText: string): string {
  const { model, moe } = config;
  const planned = numStepsOf(config);
  const usesDomain = model.numSparseLayers > 0 && moe.expertGroups > 1 && moe.subModel === null;
  return `---
library_name: transformers
pipeline_tag: text-generation
tags:
- ${isGpt2 ? 'gpt2' : 'locmoe'}
---

# ${config.name}

${describe(config)} Trained with locmoe for ${step}${step < planned ? ` of ${planned} planned` : ''} steps of
${config.train.globalBatch} sequences of ${config.model.seqLen} tokens (run ${runId}).

${domains(config, usesDomain)}

## Use

A text begins with \`${endOfText}\`, as every text did in training.

\`\`\`python
${withTransformers(config, isGpt2, usesDomain, `${endOfText}The`)}
\`\`\`
${withMessages(config, usesDomain)}${isGpt2 ? '' : withoutTransformers(config)}
## Licence

None is given here: choose one, and mind those of the training text.
`;
}

function describe({ model, moe }: RunConfig): string {
  const layers = `${model.numDenseLayers} dense ${model.numDenseLayers === 1 ? 'layer' : 'layers'}`;
  const size = `hidden size ${model.dModel}, ${model.numHeads} heads, ${model.vocabSize} tokens`;
  const query = model.queryLayer ? ", and PanGu's query layer on top" : '';
  if (model.numSparseLayers === 0) return `A language model of ${layers}${query} (${size}).`;
  const sparseLayers = `${model.numSparseLayers} sparse ${model.numSparseLayers === 1 ? 'layer' : 'layers'}`;
  const sparse = `${sparseLayers} of ${heldExperts(moe).count} experts`;
  return (
    `A mixture-of-experts language model of ${layers} and ${sparse}${query} (${size}). ` +
    `Router: \`${moe.router}\`.`
  );
}

function domains({ data, moe }: RunConfig, usesDomain: boolean): string {
  const names = data.domains.map((domain) => `\`${domain}\``).join(', ');
  const trained = `Domains of the training text: ${names}.`;
  if (moe.subModel !== null)
    return `${trained}\nIt is the part of a larger model that texts of domain \`${moe.subModel.domain}\` used.`;
  if (!usesDomain) return trained;
  const size = moe.numExperts / moe.expertGroups;
  return `${trained}
The domain of a text decides which ${size} of the ${moe.numExperts} experts of a layer it may use.
Name it with \`domain\`; where you do not, it is \`domain\` of config.json.`;
}

function withTransformers({ data }: RunConfig, isGpt2: boolean, usesDomain: boolean, text: string): string {
  const remote = isGpt2 ? '' : ', trust_remote_code=True';
  const domain = usesDomain ? `domain=${JSON.stringify(data.domains[0])}, ` : '';
  return `from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForCausalLM.from_pretrained("FOLDER"${remote})
inputs = tokenizer(${JSON.stringify(text)}, return_tensors="pt")
tokens = model.generate(**inputs, ${domain}max_new_tokens=40, do_sample=True, top_k=40)
print(tokenizer.decode(tokens[0]))`;
}

/** Writes the part for a model that was fine-tuned with answers; its code continues the one before it. */
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
With PyTorch and safetensors alone (\`locmoe.py\` shows how the routers decide):

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
