// A language in; every word of the page in it out.
import { prefs, type Language } from "./prefs";
import { useStore } from "./store";

const en = {
  skip: "Skip to the alerts",
  live: "Live", connecting: "Connecting", reconnecting: "Reconnecting", stale: "Stale", refused: "Not allowed",
  heard: (time: string) => `Last word from the server at ${time}`,
  neverHeard: "The server has said nothing yet",
  staleNote: (time: string) => `Nothing has been heard since ${time}. What you see may be out of date; trying again.`,
  notYours: "This token may not see these alerts.",
  wholeFleetName: "The whole fleet", fleet: "The fleet at a glance",
  openAlerts: "Open alerts", devices: "Devices", online: "Online", late: "Late", offline: "Offline",
  only: (status: string) => `Show only: ${status}`,
  alerts: "Real-time alerts", clear: "Clear All", clearHint: "Hides what is listed; nothing is deleted",
  showHidden: (n: number) => `Show ${n} hidden`,
  allNormal: "No alerts - All systems normal",
  cleared: (n: number) => `List cleared - ${n === 1 ? "1 alert is" : `${n} alerts are`} still open`,
  waiting: "Waiting for the alert stream", noMatch: "No alert matches the filter",
  filterAlerts: "Filter alerts", filterHint: "Filter by device, title or rule",
  danger: "Danger", warning: "Warning", info: "Info", resolved: "Resolved",
  gone: "No longer open", goneHint: "It ended while this page was not connected",
  openOnly: "Open only",
  more: (n: number) => `Show ${n} more`,
  acknowledge: "Acknowledge", by: (who: string) => `Acknowledged by ${who}`,
  yourName: "Your name", note: "Note (optional)", send: "Send", cancel: "Cancel",
  acking: "Sent, waiting for the worker's word…",
  ackSlow: "It was sent, but no worker has confirmed it yet.",
  ackResolved: "It is resolved already.", ackUnknown: "The server doesn't know this alert any more.",
  noAnswer: "No answer; trying again", sendFailed: "No answer from the server. Please try again.",
  readings: "Newest readings", search: "Search devices", searchHint: "Search devices",
  device: "Device", status: "Status", others: "More", lastReading: "Last reading",
  noReadings: "No readings yet", noDevice: "No device matches",
  nDevices: (n: string, one: boolean) => (one ? "1 device" : `${n} devices`),
  nOf: (shown: string, all: string) => `${shown} of ${all}`,
  reading: "Reading",
  charts: "Statistics", range: "Range", hour: "1 h", day: "24 h", week: "7 d", month: "30 d",
  hourLong: "last hour", dayLong: "last 24 hours", weekLong: "last 7 days", monthLong: "last 30 days",
  noStats: "This server keeps no statistics.", noStatsYet: "No values in this range yet",
  wholeSince: (time: string) => `Complete since ${time}`,
  wholeFleet: "Mean, lowest and highest of the whole fleet",
  lowest: "lowest", highest: "highest",
  chartSays: (metric: string, from: string, to: string, last: string) =>
    `${metric}: between ${from} and ${to}, last ${last}. Left and right arrow keys read single values.`,
  moreMetrics: (n: number) => (n === 1 ? "1 more metric" : `${n} more metrics`), fewer: "Fewer",
  back: "All devices", unknownDevice: "No device of this name is known.",
  alertsOf: "Alerts of this device", noAlertsOf: "No alerts of this device",
  notifications: "Notifications", sound: "Sound",
  notifyDenied: "This browser forbids notifications here; its own settings can allow them.",
  notifyMissing: "This browser knows no notifications.",
  moreAlerts: (n: number) => (n === 1 ? "1 more alert" : `${n} more alerts`),
  language: "Ngôn ngữ: tiếng Việt", languageShort: "VI",
  theme: "Colours", auto: "as the system", light: "light", dark: "dark",
  token: "Token", tokenTitle: "This page asks for a token",
  tokenText: "Whoever runs it has given you one. It stays in this browser.",
  tokenWrong: "That token is not known here.", keep: "Remember it in this browser", enter: "Open", leave: "Sign out",
  seconds: (n: number) => `${n} s ago`, minutes: (n: number) => `${n} min ago`,
  hours: (n: number) => `${n} h ago`, days: (n: number) => `${n} d ago`,
  metrics: { temperature: "Temperature", humidity: "Humidity", battery: "Battery", co2: "CO₂", battery_voltage: "Battery voltage" } as Record<string, string>,
};

export type Words = typeof en;

const vi: Words = {
  skip: "Chuyển đến phần cảnh báo",
  live: "Trực tiếp", connecting: "Đang kết nối", reconnecting: "Đang kết nối lại", stale: "Dữ liệu cũ", refused: "Không có quyền",
  heard: (time) => `Lần gần nhất nhận tin từ máy chủ: ${time}`,
  neverHeard: "Chưa nhận được tin nào từ máy chủ",
  staleNote: (time) => `Không nhận được tin nào kể từ ${time}. Thông tin đang hiển thị có thể đã cũ; đang thử kết nối lại.`,
  notYours: "Mã truy cập này không có quyền xem các cảnh báo này.",
  wholeFleetName: "Toàn bộ thiết bị", fleet: "Tổng quan thiết bị",
  openAlerts: "Cảnh báo đang diễn ra", devices: "Thiết bị", online: "Hoạt động", late: "Trễ", offline: "Mất kết nối",
  only: (status) => `Chỉ hiện: ${status}`,
  alerts: "Cảnh báo thời gian thực", clear: "Ẩn tất cả", clearHint: "Chỉ ẩn khỏi danh sách, không xoá gì cả",
  showHidden: (n) => `Hiện ${n} mục đã ẩn`,
  allNormal: "Không có cảnh báo - Mọi hệ thống đều bình thường",
  cleared: (n) => `Đã ẩn danh sách - còn ${n} cảnh báo đang diễn ra`,
  waiting: "Đang chờ dữ liệu cảnh báo", noMatch: "Không có cảnh báo nào khớp với bộ lọc",
  filterAlerts: "Lọc cảnh báo", filterHint: "Lọc theo thiết bị, tiêu đề hoặc quy tắc",
  danger: "Nguy hiểm", warning: "Cảnh báo", info: "Thông tin", resolved: "Đã giải quyết",
  gone: "Đã kết thúc", goneHint: "Đã kết thúc trong lúc trang này mất kết nối",
  openOnly: "Đang diễn ra",
  more: (n) => `Hiện thêm ${n}`,
  acknowledge: "Xác nhận", by: (who) => `${who} đã xác nhận`,
  yourName: "Tên của bạn", note: "Ghi chú (không bắt buộc)", send: "Gửi", cancel: "Huỷ",
  acking: "Đã gửi, đang chờ hệ thống xử lý…",
  ackSlow: "Đã gửi, nhưng hệ thống chưa phản hồi.",
  ackResolved: "Cảnh báo này đã được giải quyết.", ackUnknown: "Máy chủ không còn lưu cảnh báo này.",
  noAnswer: "Không có phản hồi; đang thử lại", sendFailed: "Máy chủ không phản hồi. Vui lòng thử lại.",
  readings: "Số liệu mới nhất", search: "Tìm thiết bị", searchHint: "Tìm thiết bị",
  device: "Thiết bị", status: "Trạng thái", others: "Khác", lastReading: "Lần đo gần nhất",
  noReadings: "Chưa có số liệu", noDevice: "Không tìm thấy thiết bị nào",
  nDevices: (n) => `${n} thiết bị`,
  nOf: (shown, all) => `${shown} trong số ${all}`,
  reading: "Đang tải",
  charts: "Thống kê", range: "Khoảng thời gian", hour: "1 giờ", day: "24 giờ", week: "7 ngày", month: "30 ngày",
  hourLong: "1 giờ qua", dayLong: "24 giờ qua", weekLong: "7 ngày qua", monthLong: "30 ngày qua",
  noStats: "Máy chủ này không lưu thống kê.", noStatsYet: "Chưa có số liệu trong khoảng thời gian này",
  wholeSince: (time) => `Đầy đủ từ ${time}`,
  wholeFleet: "Trung bình, thấp nhất và cao nhất của toàn bộ thiết bị",
  lowest: "thấp nhất", highest: "cao nhất",
  chartSays: (metric, from, to, last) =>
    `${metric}: từ ${from} đến ${to}, mới nhất ${last}. Dùng phím mũi tên trái, phải để đọc từng giá trị.`,
  moreMetrics: (n) => `Hiện thêm ${n} chỉ số`, fewer: "Thu gọn",
  back: "Tất cả thiết bị", unknownDevice: "Không có thiết bị nào mang tên này.",
  alertsOf: "Cảnh báo của thiết bị này", noAlertsOf: "Thiết bị này không có cảnh báo",
  notifications: "Thông báo", sound: "Âm thanh",
  notifyDenied: "Trình duyệt đang chặn thông báo; hãy cho phép trong phần cài đặt của trình duyệt.",
  notifyMissing: "Trình duyệt này không hỗ trợ thông báo.",
  moreAlerts: (n) => `Và ${n} cảnh báo khác`,
  language: "Language: English", languageShort: "EN",
  theme: "Giao diện", auto: "theo hệ thống", light: "sáng", dark: "tối",
  token: "Mã truy cập", tokenTitle: "Trang này cần mã truy cập",
  tokenText: "Người quản trị đã cấp mã cho bạn. Mã chỉ được lưu trong trình duyệt này.",
  tokenWrong: "Mã truy cập không đúng.", keep: "Ghi nhớ trong trình duyệt này", enter: "Tiếp tục", leave: "Đăng xuất",
  seconds: (n) => `${n} giây trước`, minutes: (n) => `${n} phút trước`,
  hours: (n) => `${n} giờ trước`, days: (n) => `${n} ngày trước`,
  metrics: { temperature: "Nhiệt độ", humidity: "Độ ẩm", battery: "Pin", co2: "CO₂", battery_voltage: "Điện áp pin" },
};

const SPOKEN: Record<Language, Words> = { en, vi };

export function words(): Words {
  return SPOKEN[prefs.language];
}

export function useWords(): Words {
  useStore(prefs);
  return words();
}

export function metricName(name: string, spoken: Words): string {
  if (Object.hasOwn(spoken.metrics, name)) return spoken.metrics[name]!;
  const plain = name.replaceAll("_", " ").trim();
  return plain ? plain[0]!.toUpperCase() + plain.slice(1) : name;
}
