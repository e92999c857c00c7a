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

/** What looks like a command and is none: its name, and the command that may be meant. */
export interface IUnknownCommand {
  name: string;
  near: CommandName | null;
}

export function unknownCommand(text: string): IUnknownCommand | null {
  const typed = /^\/([a-z]+)(\s|$)/i.exec(text);
  if (!typed) {
    return null;
  }
  const name = typed[1].toLowerCase();
  // Still being typed, it may become one.
  const begins =
    typed[2] === '' && COMMANDS.some(each => each.startsWith(name));
  if (begins || COMMANDS.some(each => each === typed[1])) {
    return null;
  }
  const [near] = COMMANDS.map(each => ({ each, slips: slips(name, each) }))
    .filter(({ each, slips: count }) => count <= each.length / 3)
    .sort((a, b) => a.slips - b.slips);
  return { name: typed[1], near: near?.each ?? null };
}

/** Letters that are wrong, missing, too many or in each other's place. */
function slips(a: string, b: string): number {
  const rows = [...Array(a.length + 1).keys()].map(i =>
    [...Array(b.length + 1).keys()].map(j => (i === 0 ? j : j === 0 ? i : 0))
  );
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const wrong = a[i - 1] === b[j - 1] ? 0 : 1;
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      rows[i][j] = Math.min(
        rows[i - 1][j] + 1,
        rows[i][j - 1] + 1,
        rows[i - 1][j - 1] + wrong,
        swapped ? rows[i - 2][j - 2] + 1 : Infinity
      );
    }
  }
  return rows[a.length][b.length];
}

/** The client-side command this text is, if it is one and nothing else. */
export function localCommand(text: string): LocalCommand | null {
  const name = /^\/([a-z]+)\s*$/.exec(text.trim())?.[1];
  return LOCAL_COMMANDS.find(command => command === name) ?? null;
}
