import { z } from 'zod';
import { FAMILIES, modelUnion } from './model-schema.js';
import { runSchema } from './schema.js';

type JsonSchema = z.core.JSONSchema.JSONSchema;

/** A field of the configuration, or a section around fields. */
export interface FieldReference {
  /** Path from the outermost section inwards; `NAME` stands for any name. */
  readonly path: readonly string[];
  readonly schema: JsonSchema;
  readonly isRequired: boolean;
}

/** Returns the JSON schema (draft 2020-12) of a configuration as a user writes it. */
export function editorSchema(): JsonSchema {
  const schema = z.toJSONSchema(runSchema.extend({ model: modelUnion }), {
    io: 'input',
    unrepresentable: 'any',
    override: withoutSafeLimits,
  });
  const data = objectAt(schema, 'data');
  const [domains, sources] = [data.domains!, data.sources!];
  const source = sources.additionalProperties as JsonSchema;
  // Files may be a single text, and may be listed in `data.domains`: config/named-sources.ts resolves both.
  const files = objectAt(source).files!;
  (source.properties as Record<string, JsonSchema>).files = {
    description: files.description,
    anyOf: [{ type: 'string', minLength: 1 }, files],
  } as JsonSchema;
  // `model.vocabSize` may be left out, as config/named-tokenizer.ts fills it in.
  for (const model of alternativesOf(objectAt(schema).model!)) {
    const fields = objectAt(model);
    const { description, ...size } = fields.vocabSize!;
    fields.vocabSize = { description, anyOf: [size, { type: 'string', enum: ['auto'] }] } as JsonSchema;
    // Without a family a model is of the first.
    const [defaultFamily] = Object.keys(FAMILIES);
    const isDefault = fields.family!.const === defaultFamily;
    if (isDefault) fields.family!.default = defaultFamily!;
    model.required = model.required!.filter(
      (field) => field !== 'vocabSize' && (field !== 'family' || !isDefault),
    );
  }
  // `moe.placement` may be the path of a file, which config/named-placement.ts reads.
  const moe = objectAt(schema, 'moe');
  const { anyOf: placements, ...placement } = moe.placement!;
  moe.placement = { ...placement, anyOf: [{ type: 'string', minLength: 1 }, ...placements!] } as JsonSchema;
  domains.items = { anyOf: [domains.items as JsonSchema, { type: 'object', additionalProperties: source }] };
  return schema;
}

/** Lists sections and fields in the order of the schema, each section before its fields. */
export function configFields(schema = editorSchema(), path: readonly string[] = []): FieldReference[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, value]) => {
    const field = asOneSection(value as JsonSchema);
    const inner = [...path, name];
    return [
      { path: inner, schema: field, isRequired: schema.required?.includes(name) ?? false },
      ...configFields(field, inner),
      ...configFields(namedEntries(field), [...inner, 'NAME']),
    ];
  });
}

function alternativesOf({ oneOf, anyOf = oneOf }: JsonSchema): JsonSchema[] {
  return (anyOf ?? []) as JsonSchema[];
}

/** Returns the fields of a section with families as one section; of any other schema, itself. */
function asOneSection(schema: JsonSchema): JsonSchema {
  const families = alternativesOf(schema);
  if (families.length === 0 || !families.every(({ properties }) => properties?.family)) return schema;
  const all = families.map((family) => objectAt(family));
  const names = new Set(all.flatMap((fields) => Object.keys(fields)));
  const properties = [...names].map((name): [string, JsonSchema] => {
    const having = all.filter((fields) => Object.hasOwn(fields, name));
    const [{ [name]: field }] = having as [Record<string, JsonSchema>];
    const described = having.map(({ family, [name]: each }) => `${family!.const}: ${each!.description}`);
    if (name === 'family')
      return [
        name,
        {
          enum: all.map(({ family }) => family!.const!),
          default: all[0]!.family!.const!,
          description: described.join('; '),
        },
      ];
    return [
      name,
      having.length === all.length ? field! : { ...field, description: `family ${described[0]}` },
    ];
  });
  return { properties: Object.fromEntries(properties), required: families[0]!.required! };
}

/** Returns the entries of a mapping whose names the user chooses. */
function namedEntries({ additionalProperties }: JsonSchema): JsonSchema {
  return typeof additionalProperties === 'object' ? additionalProperties : {};
}

function objectAt(schema: JsonSchema, section?: string): Record<string, JsonSchema> {
  const properties = schema.properties as Record<string, JsonSchema>;
  return section === undefined ? properties : objectAt(properties[section]!);
}

/** Removes the limit 2^53 - 1 that zod gives every integer. */
function withoutSafeLimits({ jsonSchema }: { jsonSchema: JsonSchema }): void {
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
}
