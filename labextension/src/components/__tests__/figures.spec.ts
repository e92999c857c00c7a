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
    expect(moment(0)).toContain('1970. 1. 1.');
  });

  it('to the minute', () => {
    document.documentElement.lang = 'en';
    expect(moment(0)).toMatch(/^Jan 1, 1970, \d+:\d\d\s[AP]M$/);
  });
});
