// An alert's event in; its title and message out, in the viewer's language and without what the page
// shows beside them. Words that aren't the pipeline's own stay as they came.
import { prefs } from "./prefs";
import type { AlertEvent } from "./wire";
import { metricName, words } from "./words";

const TITLES: Record<string, string> = {
  "🔥 High Temperature Alert!": "🔥 Cảnh báo nhiệt độ cao!",
  "❄️ Low Temperature Alert!": "❄️ Cảnh báo nhiệt độ thấp!",
  "💧 High Humidity Alert!": "💧 Cảnh báo độ ẩm cao!",
  "🌵 Low Humidity Alert!": "🌵 Cảnh báo độ ẩm thấp!",
  "🔋 High Battery Alert!": "🔋 Cảnh báo mức pin cao!",
  "🔋 Low Battery Alert!": "🔋 Cảnh báo pin yếu!",
  "📴 Device Offline!": "📴 Thiết bị mất kết nối!",
  "📴 Fleet Offline!": "📴 Nhiều thiết bị mất kết nối!",
  "📴 Nothing Arrives!": "📴 Không nhận được dữ liệu!",
  "⚙️ Sensor Fault!": "⚙️ Lỗi cảm biến!",
  "✅ Device Retired": "✅ Đã ngừng theo dõi thiết bị",
  "✅ Rule Changed": "✅ Quy tắc đã thay đổi",
  "✅ Rule Removed": "✅ Quy tắc đã bị xoá",
  "✅ Device Back Online": "✅ Thiết bị đã kết nối lại",
  "✅ Fleet Back Online": "✅ Các thiết bị đã kết nối lại",
};

type Phrase = [RegExp, (found: string[], of: (label: string) => string) => string];

const SEVERITY: Record<string, string> = { danger: "nguy hiểm", warning: "cảnh báo", info: "thông tin" };
const severity = (level = "") => `mức ${SEVERITY[level] ?? level}`;
const after = (level = "", before = "") => `, ${severity(level)} (trước đó: ${severity(before)})`;

/** The pipeline's numbers are as a program writes them. */
const figure = (text = "") => (text === "not known" ? "chưa rõ" : text.replaceAll(/(\d)\.(\d)/g, "$1,$2"));

const PHRASES: Phrase[] = [
  [/^(.+) is (\S.*?) \(threshold: (.+?)\)(?:, (\w+) after (\w+))?$/,
    ([, label, value, line, level, before], of) =>
      `${of(label!)} ${figure(value)} (ngưỡng: ${figure(line)})${level ? after(level, before) : ""}`],
  [/^(.+) is (.+), back to normal$/, ([, label, value], of) => `${of(label!)} ${figure(value)}, đã trở lại bình thường`],
  [/^(.+) is (.+), which the changed rule (\S+) allows$/,
    ([, label, value, rule], of) => `${of(label!)} ${figure(value)}, quy tắc ${rule} sau khi sửa cho phép mức này`],
  [/^The changed rule (\S+) allows longer silence$/,
    ([, rule]) => `Quy tắc ${rule} sau khi sửa cho phép mất kết nối lâu hơn`],
  [/^The rule (\S+) is no more$/, ([, rule]) => `Quy tắc ${rule} không còn nữa`],
  [/^Offline, a reading was due by (\S+)$/, ([, time]) => `Mất kết nối, lẽ ra phải có số liệu trước ${time}`],
  [/^Back online at (\S+)$/, ([, time]) => `Đã kết nối lại lúc ${time}`],
  [/^Still offline at ([^,]+), (\w+)$/, ([, time, level]) => `Đến ${time} vẫn mất kết nối, ${severity(level)}`],
  [/^No reading since, (.+) is unknown$/,
    ([, label], of) => `Từ đó chưa có số liệu mới, chưa rõ ${of(label!).toLowerCase()} hiện tại`],
  [/^(.+) is (.+), which its sensor can't measure \(bound: (.+)\)$/,
    ([, label, value, bound], of) => `${of(label!)} ${figure(value)}, ngoài khả năng đo của cảm biến (giới hạn: ${figure(bound)})`],
  [/^(.+) is (.+) and has not moved for (\d+) readings$/,
    ([, label, value, count], of) => `${of(label!)} ${figure(value)}, không thay đổi suốt ${count} lần đo`],
  [/^Retired after a long silence$/, () => "Ngừng theo dõi vì đã mất kết nối quá lâu"],
  [/^Most devices are back at (\S+)$/, ([, time]) => `Phần lớn thiết bị đã kết nối lại lúc ${time}`],
  [/^(\d+) devices fell silent together \((.*)\)( and nothing arrives)?$/,
    ([, count, named, none]) =>
      `${count} thiết bị mất kết nối cùng lúc (${named})${none ? ", không nhận được dữ liệu nào" : ""}`],
];

export function titleOf({ title, metric }: AlertEvent): string {
  if (prefs.language === "en") return title;
  if (Object.hasOwn(TITLES, title)) return TITLES[title]!;
  const name = metricName(metric ?? "", words());
  const normal = /^✅ .+ Back to Normal$/.test(title);
  const side = /^⚠️ (High|Low) .+ Alert!$/.exec(title)?.[1];
  if (normal) return `✅ ${name} trở lại bình thường`;
  return side ? `⚠️ Cảnh báo: ${name} ${side === "High" ? "cao" : "thấp"}!` : title;
}

export function messageOf(event: AlertEvent): string {
  const plain = withoutWhatIsBeside(event);
  if (prefs.language === "en") return plain;
  const of = (label: string) => metricName(event.metric ?? label, words());
  for (const [form, phrase] of PHRASES) {
    const found = form.exec(plain);
    if (found) return phrase(found, of);
  }
  return plain;
}

function withoutWhatIsBeside({ message, device_id, acked_by, note }: AlertEvent): string {
  let plain = message;
  for (const beginning of [`Device ${device_id}: `, "The fleet: "]) {
    if (plain.startsWith(beginning)) plain = plain.slice(beginning.length);
  }
  const end = `, acknowledged by ${acked_by}${note ? `: ${note}` : ""}`;
  return acked_by && plain.endsWith(end) ? plain.slice(0, -end.length) : plain;
}
