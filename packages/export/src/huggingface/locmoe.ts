import { ofExpert, type Parameter } from 'locmoe/internal/architecture/architecture';
import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { heldExperts } from 'locmoe/internal/routing/index';
import { withExpertTables } from '../expert-table.js';
import { attentions, exportedArchitecture, numCachedLayers } from '../exported-architecture.js';
import { type HuggingFaceModel, type LazyTensor, tensorOf } from './weights.js';

/**
 * Converts any model to LocmoeForCausalLM of packages/export/pytorch. Tensors keep the names of the checkpoint after the prefix
 * `model.`.
 *
 * @throws TrainerError `BAD_INPUT` as `exportedArchitecture`
 */
export function locmoeModel(given: Checkpoint): HuggingFaceModel {
  const checkpoint = withExpertTables(given);
  const { model, moe, data } = checkpoint.manifest.config;
  const architecture = exportedArchitecture(checkpoint.manifest.config);
  const tables = architecture.blocks.flatMap(({ operation }) => {
    const choose = operation.op === 'experts' ? operation.rule?.choose : undefined;
    return choose?.op === 'table' ? [...parametersIn(choose)].map(({ name }) => name) : [];
  });
  const parameters = new Map([...parametersIn(architecture)].map((each) => [each.name, each]));
  const held = heldExperts(moe);
  const { numKeyValueHeads, headDim } = attentions(architecture)[0]!;
  return {
    config: {
      model_type: 'locmoe',
      architectures: ['LocmoeForCausalLM'],
      auto_map: {
        AutoConfig: 'configuration_locmoe.LocmoeConfig',
        AutoModelForCausalLM: 'modeling_locmoe.LocmoeForCausalLM',
      },
      vocab_size: model.vocabSize,
      hidden_size: model.dModel,
      num_attention_heads: model.numHeads,
      num_key_value_heads: numKeyValueHeads,
      head_dim: headDim,
      num_hidden_layers: numCachedLayers(architecture),
      max_position_embeddings: model.seqLen,
      domains: data.domains,
      domain: data.domains[0],
      // The module itself uses one matrix twice where the head is the token embedding.
      tie_word_embeddings: false,
      architecture: JSON.parse(
        JSON.stringify(architecture, (key, value) => (key === 'name' ? nameInTorch(value) : value)),
      ),
    },
    tensors: [...parameters.values()]
      .flatMap((parameter) =>
        parameter.name.includes('*')
          ? Array.from({ length: held.count }, (_, i) => ofExpert(parameter, held.first + i))
          : [parameter],
      )
      .map(({ name, shape }) => {
        const tensor = tensorOf(checkpoint, name, `model.${nameInTorch(name)}`, shape);
        return tables.includes(name) ? asIntegers(tensor) : tensor;
      }),
  };
}

function* parametersIn(part: object): Generator<Parameter> {
  if ('shape' in part) yield part as Parameter;
  else
    for (const inner of Object.values(part))
      if (typeof inner === 'object' && inner !== null) yield* parametersIn(inner);
}

/** Renames the bias of queries, keys or values, `q.bias`, as a module of PyTorch has no tensor `q` beside a module `q`. */
function nameInTorch(name: string): string {
  return name.replace(/(\.attn\.[qkv])\.bias$/, '$1_bias');
}

/** Converts indices to integers, which a program that loads the model as bfloat16 leaves unchanged. */
function asIntegers({ read, bytes, ...tensor }: LazyTensor): LazyTensor {
  return { ...tensor, bytes: 2 * bytes, read: () => BigInt64Array.from(read() as Float32Array, BigInt) };
}
