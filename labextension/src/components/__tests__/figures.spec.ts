import { figure, moment } from '../figures';

describe('numbers', () => {
  afterEach(() => {
    document.documentElement.removeAttribute('lang');
  });

  it.each([
    ['', '1,234,567', '1.5'],
    ['ko-KR', '1,234,567', '1.5'],
    ['de-DE', '1.234.567', '1,5']
  ])('are written in the language of Lab: %s', (lang, whole, part) => {
    document.documentElement.lang = lang;
    expect(figure(1234567)).toBe(whole);
    expect(figure(1.46, 1)).toBe(part);
  });

  it('and so are times', () => {
    document.documentElement.lang = 'ko-KR';
    expect(moment(0)).toMatch(/^1970\.\s1\.\s1\./);
  });

  it('to the minute', () => {
    document.documentElement.lang = 'en';
    expect(moment(0)).toMatch(/^Jan\s1,\s1970,\s\d+:\d\d\s[AP]M$/);
  });

  // Which word stands for the afternoon in Korean depends on the engine's data.
  it.each([
    ['en', /^8:05\u00a0PM$/, /^Dec\u00a01,\u00a012:00\u00a0AM$/],
    [
      'ko-KR',
      /^(오후|PM)\u00a08:05$/,
      /^12월\u00a01일\u00a0(오전|AM)\u00a012:00$/
    ]
  ])('without what is today’s, in one piece: %s', (lang, later, next) => {
    document.documentElement.lang = lang;
    const now = new Date(2026, 10, 29, 10, 30);
    const at = (...when: [number, number, number, number, number]) =>
      moment(new Date(...when).getTime() / 1000, now);
    expect(at(2026, 10, 29, 20, 5)).toMatch(later);
    expect(at(2026, 11, 1, 0, 0)).toMatch(next);
    expect(at(2027, 0, 1, 0, 0)).toContain('2027');
  });
});
