import { type InferenceSession, Tensor } from 'onnxruntime-node';

/**
 * Inputs of an exported graph for sequences without cached tokens.
 *
 * @param ids [B, S]
 * @param domains [B]
 */
export function wholeSequences(
  session: InferenceSession,
  ids: ArrayLike<number>,
  domains: ArrayLike<number>,
): Record<string, Tensor> {
  const shape = [domains.length, ids.length / domains.length];
  const integers = (values: ArrayLike<number>, shape: readonly number[]) =>
    new Tensor('int64', BigInt64Array.from(Array.from(values), BigInt), shape);
  const past = session.inputMetadata.flatMap((input) => {
    if (!input.isTensor || !input.name.startsWith('past_key_values.')) return [];
    const [, numHeads, , headSize] = input.shape as [string, number, string, number];
    return [[input.name, new Tensor('float32', new Float32Array(), [domains.length, numHeads, 0, headSize])]];
  });
  return {
    ...Object.fromEntries(past),
    input_ids: integers(ids, shape),
    attention_mask: new Tensor('int64', new BigInt64Array(ids.length).fill(1n), shape),
    ...(session.inputNames.includes('domain') && { domain: integers(domains, [domains.length]) }),
  };
}
