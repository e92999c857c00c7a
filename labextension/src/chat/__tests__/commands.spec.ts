import { unknownCommand } from '../commands';

describe('what looks like a command', () => {
  it.each(['/explain', '/fix it', '/ex', '/', 'a /nope', '/usr/bin', '/헬프'])(
    'has no hint while it is one, may become one or looks otherwise: %s',
    text => expect(unknownCommand(text)).toBeNull()
  );

  it.each([
    ['/nope', 'nope', null],
    ['/expain this', 'expain', 'explain'],
    ['/fxi', 'fxi', 'fix'],
    ['/Plot it', 'Plot', 'plot'],
    ['/ex it', 'ex', null]
  ])(
    'is named when it is none, with the one that may be meant: %s',
    (text, name, near) => expect(unknownCommand(text)).toEqual({ name, near })
  );
});
