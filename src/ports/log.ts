/** What operators read. Fields are allowed values only; a `Secret` prints as its kind. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  /** `cause` is shown with its stack; its own fields are not. */
  error(message: string, fields?: LogFields, cause?: unknown): void;
}
