import QtQuick

// One question: what is read scrolls, the two answers stay in sight. Nothing moves by itself, and nothing is answered
// by habit: the heading has the focus first (R12).
FocusScope {
    id: page
    required property Item prompt
    required property QtObject question
    required property var content

    readonly property real rem: 16 * prompt.textScale // on a head unit 1 rem is 16 dp
    readonly property real side: Math.max(24, (width - 73 * rem) / 2)
    readonly property alias shades: shades
    property bool taps: question.unheardMs === 0 // whether a finger is heard already

    LayoutMirroring.enabled: content.rightToLeft
    LayoutMirroring.childrenInherit: true
    Accessible.role: Accessible.Dialog
    Accessible.name: content.title

    function begin() { heading.forceActiveFocus() }

    function targets() {
        return [...howLong.ways(), ...howExactly.ways(), more, allow, deny]
    }

    // Left, right, up, down and Tab move through everything and choose nothing. What was not on the screen yet is not
    // skipped: the page is turned first.
    function step(by) {
        const all = targets()
        const here = all.indexOf(Window.activeFocusItem)
        const next = here < 0 ? (by > 0 ? 0 : all.length - 1) : (here + by + all.length) % all.length
        const around = here < 0 ? by < 0 : next !== here + by
        if (!around && scroll.turned(all[next], by))
            return
        all[next].forceActiveFocus()
        scroll.show(all[next])
    }

    Keys.onPressed: event => {
        const onward = content.rightToLeft ? Qt.Key_Left : Qt.Key_Right
        event.accepted = true
        switch (event.key) {
        case Qt.Key_Left: case Qt.Key_Right:
            return step(event.key === onward ? 1 : -1)
        case Qt.Key_Up: case Qt.Key_Backtab:
            return step(-1)
        case Qt.Key_Down: case Qt.Key_Tab:
            return step(1)
        case Qt.Key_PageUp: case Qt.Key_PageDown:
            return scroll.to(scroll.contentY + (event.key === Qt.Key_PageDown ? 1 : -1) * scroll.turn)
        case Qt.Key_Return: case Qt.Key_Enter: case Qt.Key_Space: case Qt.Key_Select:
            if (!event.isAutoRepeat && targets().includes(Window.activeFocusItem))
                Window.activeFocusItem.activate()
            return
        case Qt.Key_Escape: case Qt.Key_Back: case Qt.Key_Cancel:
            return question.dismiss()
        }
        event.accepted = false
    }

    Timer {
        running: !page.taps
        interval: page.question.unheardMs
        onTriggered: page.taps = true
    }
    Shades {
        id: shades
        night: page.prompt.night
    }
    Rectangle {
        anchors.fill: parent
        color: shades.ground
    }
    MouseArea { // nothing behind the question can be touched
        anchors.fill: parent
        hoverEnabled: true
        onWheel: wheel => wheel.accepted = true
    }

    Flickable {
        id: scroll
        readonly property real last: Math.max(0, contentHeight - height)
        readonly property real turn: 0.85 * height

        function to(y) { contentY = Math.max(0, Math.min(last, y)) }
        function turned(item, by) {
            const answers = !holds(item)
            const edge = answers ? last : above(item) + (by > 0 ? item.height - height : 0)
            const away = by > 0 ? edge - contentY : answers ? 0 : contentY - edge
            if (away <= (answers ? page.rem : turn)) // the answers come after all that is read
                return false
            to(contentY + by * turn)
            return true
        }
        function holds(item) { return item !== allow && item !== deny }
        function above(item) { return item.mapToItem(contentItem, 0, 0).y }
        function show(item) {
            if (!holds(item))
                return
            const y = above(item)
            if (item.height > height || y < contentY)
                to(y - 8)
            else if (y + item.height > contentY + height)
                to(y + item.height + 8 - height)
        }

        anchors { left: parent.left; right: parent.right; top: parent.top; bottom: answers.top }
        contentHeight: column.height + 2 * column.y
        boundsBehavior: Flickable.StopAtBounds
        maximumFlickVelocity: 0
        clip: true
        onHeightChanged: to(contentY)

        Column {
            id: column
            x: page.side
            y: page.rem
            width: scroll.width - 2 * page.side
            spacing: 0.5 * page.rem

            Words {
                id: heading
                width: parent.width
                shades: page.shades
                rem: page.rem
                text: page.content.title
                font { pixelSize: 2 * page.rem; weight: Font.Bold }
                Accessible.role: Accessible.Heading
                Accessible.focusable: true
            }
            Repeater {
                model: page.content.elements
                Words {
                    required property string modelData
                    width: column.width
                    shades: page.shades
                    rem: page.rem
                    text: modelData
                }
            }
            Grid {
                anchors.left: parent.left
                width: parent.width
                columns: 2
                columnSpacing: page.rem
                Repeater {
                    model: page.content.facts
                    Words {
                        required property int index
                        required property string modelData
                        readonly property bool label: index % 2 === 0
                        width: label ? Math.min(implicitWidth, column.width / 3) : column.width * 2 / 3 - page.rem
                        shades: page.shades
                        rem: page.rem
                        text: modelData
                        color: shades.quiet
                        font.weight: label ? Font.DemiBold : Font.Normal
                    }
                }
            }
            Grid {
                id: questions
                anchors.left: parent.left
                readonly property bool beside: column.width >= 49.5 * page.rem
                readonly property real each: beside ? (column.width - columnSpacing) / 2 : column.width
                columns: beside ? 2 : 1
                columnSpacing: 1.5 * page.rem
                rowSpacing: 0.5 * page.rem
                Choices {
                    id: howLong
                    width: questions.each
                    shades: page.shades
                    rem: page.rem
                    question: page.content.howLong
                    labels: page.content.durations
                }
                Choices {
                    id: howExactly
                    width: questions.each
                    shades: page.shades
                    rem: page.rem
                    question: page.content.howExactly
                    labels: page.content.precisions
                }
            }
            PushButton {
                id: more
                property bool open: false
                anchors.left: parent.left
                shades: page.shades
                rem: page.rem
                width: Math.min(implicitWidth, parent.width)
                label: (open ? "− " : "+ ") + page.content.showFull
                filled: false
                Accessible.name: page.content.showFull
                Accessible.checkable: true
                Accessible.checked: open
                onPressed: {
                    open = !open
                    forceActiveFocus()
                }
            }
            Repeater {
                model: more.open ? page.content.full : []
                Words {
                    required property string modelData
                    width: column.width
                    shades: page.shades
                    rem: page.rem
                    text: modelData
                }
            }
            Words {
                visible: more.open && page.content.code !== ""
                width: parent.width
                shades: page.shades
                rem: page.rem
                text: page.content.policy
            }
            Rectangle {
                visible: more.open && page.content.code !== ""
                anchors.left: parent.left
                width: 216
                height: 216
                color: "#ffffff" // a scanner wants it white at night too
                Image {
                    anchors { fill: parent; margins: 12 }
                    source: page.content.code
                    smooth: false
                    Accessible.role: Accessible.Graphic
                    Accessible.name: page.content.policy
                }
            }
        }
    }
    Rectangle { // how much there is to read, and where one is
        anchors { right: parent.right; rightMargin: 4 }
        visible: scroll.last > 0
        width: 8
        radius: 4
        y: scroll.y + scroll.contentY / Math.max(1, scroll.contentHeight) * scroll.height
        height: scroll.height / Math.max(1, scroll.contentHeight) * scroll.height
        color: shades.line
    }

    Rectangle {
        anchors { left: parent.left; right: parent.right; top: answers.top }
        height: 2
        color: shades.line
    }
    Row {
        id: answers
        x: page.side
        readonly property real each: (page.width - 2 * page.side - spacing) / 2
        readonly property real tall: Math.max(allow.implicitHeight, deny.implicitHeight)
        anchors.bottom: parent.bottom
        topPadding: 14
        bottomPadding: 12
        spacing: page.rem
        PushButton {
            id: allow
            shades: page.shades
            taps: page.taps
            rem: page.rem
            width: answers.each
            height: answers.tall
            label: page.content.allow
            onPressed: page.question.allow(howLong.chosen, howExactly.chosen)
        }
        PushButton {
            id: deny
            shades: page.shades
            taps: page.taps
            rem: page.rem
            width: answers.each
            height: answers.tall
            label: page.content.deny
            onPressed: page.question.deny()
        }
    }
}
