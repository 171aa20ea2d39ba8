import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { expertWidthOf, type RunConfig } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import { heldExperts, routerPolicy } from 'locmoe/internal/routing/index';
import { shapesOf } from '../checkpoint-shapes.js';
import { withExpertTables } from '../expert-table.js';
import { refuseControl } from '../refuse-control.js';
import { type HuggingFaceModel, type LazyTensor, tensorOf } from './weights.js';

/** Description of a router for pytorch/locmoe.py. */
interface ExportedRouter {
  /** Fields of config.json for the router. */
  readonly fields: (moe: RunConfig['moe']) => Readonly<Record<string, unknown>>;
  /** The tensors of its state that affect decisions outside training. */
  readonly state: readonly string[];
}

const PREFERENCE = 'preference';

const ROUTERS: Readonly<Record<string, ExportedRouter>> = {
  'expert-choice': {
    fields: ({ candidatesPerToken }) => ({ candidates_per_token: candidatesPerToken }),
    state: ['threshold', PREFERENCE],
  },
  hash: { fields: () => ({}), state: ['table'] },
  switch: { fields: ({ expertsPerToken }) => ({ experts_per_token: expertsPerToken }), state: [PREFERENCE] },
  locmoe: {
    fields: ({ learnedGroups, gateScale, expertsPerToken }) => ({
      learned_groups: learnedGroups,
      gate_scale: gateScale,
      experts_per_token: expertsPerToken,
    }),
    state: [PREFERENCE],
  },
  'locmoe-plus': {
    fields: (moe) => ({
      learned_groups: moe.learnedGroups,
      router_temperature: moe.temperature,
      selection: moe.selection,
      affinity_threshold: moe.affinityThreshold,
      max_experts_per_token: moe.maxExpertsPerToken,
      choice_weights: moe.choiceWeights,
    }),
    state: ['threshold', PREFERENCE],
  },
  moge: {
    fields: ({ deviceGroups, choicesPerDeviceGroup }) => ({
      device_groups: deviceGroups,
      choices_per_device_group: choicesPerDeviceGroup,
    }),
    state: [PREFERENCE],
  },
  deepseek: {
    fields: ({ expertsPerToken, deviceGroups, maxDeviceGroups }) => ({
      experts_per_token: expertsPerToken,
      device_groups: deviceGroups,
      max_device_groups: maxDeviceGroups,
    }),
    state: ['bias', PREFERENCE],
  },
};

/**
 * Converts any model to LocmoeForCausalLM of packages/export/pytorch. Tensors keep the names of the
 * checkpoint after the prefix `model.`.
 *
 * @throws TrainerError `BAD_INPUT` if that module does not have the router, or as `refuseControl`
 */
export function locmoeModel(given: Checkpoint): HuggingFaceModel {
  const checkpoint = withExpertTables(given);
  const { config } = checkpoint.manifest;
  const { model, moe, data } = config;
  if (model.numSparseLayers > 0 && !Object.hasOwn(ROUTERS, moe.router))
    throw new TrainerError(
      'BAD_INPUT',
      `moe.router ${moe.router} cannot be exported to HuggingFace; ${Object.keys(ROUTERS).join(', ')} can`,
    );
  const held = heldExperts(moe);
  if (model.numSparseLayers > 0) refuseControl(moe);
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
      num_dense_layers: model.numDenseLayers,
      num_sparse_layers: model.numSparseLayers,
      query_layer: model.queryLayer,
      intermediate_size: model.dFeedForward,
      max_position_embeddings: model.seqLen,
      domains: data.domains,
      domain: data.domains[0],
      num_experts: moe.numExperts,
      moe_intermediate_size: expertWidthOf(config),
      n_shared_experts: moe.sharedExperts,
      expert_groups: moe.expertGroups,
      // The only group that a sub-model has.
      expert_group: moe.subModel === null ? null : held.first / held.count,
      router: moe.router,
      ...ROUTERS[moe.router]?.fields(moe),
      token_preference: moe.tokenPreference > 0,
      // The softmax reads the token embedding; there is no second matrix to tie to it.
      tie_word_embeddings: false,
    },
    tensors: tensorsOf(checkpoint),
  };
}

function tensorsOf(checkpoint: Checkpoint): LazyTensor[] {
  const { config, tensors } = checkpoint.manifest;
  const shapes = shapesOf(checkpoint);
  return Object.keys(tensors)
    .filter((name) => isOfModel(name, config))
    .map((name) => {
      if (!name.endsWith('.router.table'))
        return tensorOf(checkpoint, name, `model.${name}`, shapes.get(name)!);
      return asIntegers(
        tensorOf(checkpoint, name, `model.${name}`, [config.data.domains.length, config.model.vocabSize]),
      );
    });
}

/**
 * Whether a tensor belongs to the exported model: optimizer state and training-only state of routers do not.
 */
function isOfModel(name: string, { model, moe }: RunConfig): boolean {
  if (name.startsWith('adam.')) return false;
  const ofRouter = /\.router\.(.+)$/.exec(name)?.[1];
  if (ofRouter === undefined || ROUTERS[moe.router]!.state.includes(ofRouter)) return true;
  const parameters = routerPolicy(moe.router).parameters(moe, model.dModel);
  return parameters.some((parameter) => parameter.name === ofRouter);
}

/** Converts indices to integers, which a program that loads the model as bfloat16 leaves unchanged. */
function asIntegers({ read, bytes, ...tensor }: LazyTensor): LazyTensor {
  return { ...tensor, bytes: 2 * bytes, read: () => BigInt64Array.from(read() as Float32Array, BigInt) };
}
