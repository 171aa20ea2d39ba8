/**
 * A message with a oneof as @grpc/proto-loader decodes it: the field `Discriminant` names the one member that is set.
 * Senders name it as well, so that a message reads the same on both sides of the wire.
 */
export type OneOf<
  Fields,
  Discriminant extends keyof Fields,
  Member extends keyof Fields = Extract<Fields[Discriminant], keyof Fields>,
> = {
  [Name in Member]-?: Flat<
    Omit<Fields, Discriminant | Member> & Record<Discriminant, Name> & Present<Fields, Name>
  >;
}[Member];

type Present<Fields, Name extends keyof Fields> = { [_ in Name]-?: NonNullable<Fields[Name]> };

/** Flattened, so that the compiler shows the fields in its messages. */
type Flat<Fields> = { [Name in keyof Fields]: Fields[Name] };
