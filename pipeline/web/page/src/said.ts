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
  "🔋 High Battery Alert!": "🔋 Cảnh báo pin cao!",
  "🔋 Low Battery Alert!": "🔋 Cảnh báo pin yếu!",
  "📴 Device Offline!": "📴 Thiết bị mất kết nối!",
  "📴 Fleet Offline!": "📴 Nhiều thiết bị mất kết nối!",
  "📴 Nothing Arrives!": "📴 Không nhận được dữ liệu!",
  "⚙️ Sensor Fault!": "⚙️ Lỗi cảm biến!",
  "✅ Device Retired": "✅ Thiết bị đã ngừng theo dõi",
  "✅ Rule Changed": "✅ Quy tắc đã thay đổi",
  "✅ Rule Removed": "✅ Quy tắc đã bị xoá",
  "✅ Device Back Online": "✅ Thiết bị đã kết nối lại",
  "✅ Fleet Back Online": "✅ Các thiết bị đã kết nối lại",
};

type Phrase = [RegExp, (found: string[], of: (label: string) => string) => string];

const SEVERITY: Record<string, string> = { danger: "nguy hiểm", warning: "cảnh báo", info: "thông tin" };
const after = (level = "", before = "") => `, ${SEVERITY[level] ?? level} (trước đó: ${SEVERITY[before] ?? before})`;

const PHRASES: Phrase[] = [
  [/^(.+) is (\S.*?) \(threshold: (.+?)\)(?:, (\w+) after (\w+))?$/,
    ([, label, value, line, level, before], of) =>
      `${of(label!)} ${value} (ngưỡng: ${line})${level ? after(level, before) : ""}`],
  [/^(.+) is (.+), back to normal$/, ([, label, value], of) => `${of(label!)} ${value}, đã bình thường`],
  [/^Offline, a reading was due by (\S+)$/, ([, time]) => `Mất kết nối, lẽ ra có số đo trước ${time}`],
  [/^Back online at (\S+)$/, ([, time]) => `Kết nối lại lúc ${time}`],
  [/^Still offline at ([^,]+), (\w+)$/, ([, time, level]) => `Vẫn mất kết nối lúc ${time}, ${SEVERITY[level!] ?? level}`],
  [/^No reading since, (.+) is unknown$/, ([, label], of) => `Chưa có số đo mới, không rõ ${of(label!).toLowerCase()}`],
  [/^(.+) is (.+), which its sensor can't measure \(bound: (.+)\)$/,
    ([, label, value, bound], of) => `${of(label!)} ${value}, cảm biến không thể đo được (giới hạn: ${bound})`],
  [/^(.+) is (.+) and has not moved for (\d+) readings$/,
    ([, label, value, count], of) => `${of(label!)} ${value}, không đổi trong ${count} lần đo`],
  [/^Retired after a long silence$/, () => "Ngừng theo dõi sau thời gian dài im lặng"],
  [/^Most devices are back at (\S+)$/, ([, time]) => `Phần lớn thiết bị đã kết nối lại lúc ${time}`],
  [/^(\d+) devices fell silent together \((.*)\)( and nothing arrives)?$/,
    ([, count, named, none]) => `${count} thiết bị cùng im lặng (${named})${none ? " và không có dữ liệu nào đến" : ""}`],
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
