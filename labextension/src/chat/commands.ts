/**
 * Slash commands. The server expands those that ask something; `/clear` and
 * `/help` never leave the browser.
 */

export const ASKING_COMMANDS = [
  'explain',
  'fix',
  'document',
  'test',
  'optimize',
  'plot',
  'sql',
  'translate'
] as const;

export const LOCAL_COMMANDS = ['clear', 'help'] as const;

export type AskingCommand = (typeof ASKING_COMMANDS)[number];
export type LocalCommand = (typeof LOCAL_COMMANDS)[number];
export type CommandName = AskingCommand | LocalCommand;

export const COMMANDS: readonly CommandName[] = [
  ...ASKING_COMMANDS,
  ...LOCAL_COMMANDS
];

/** The client-side command this text is, if it is one and nothing else. */
export function localCommand(text: string): LocalCommand | null {
  const name = /^\/([a-z]+)\s*$/.exec(text.trim())?.[1];
  return LOCAL_COMMANDS.find(command => command === name) ?? null;
}
