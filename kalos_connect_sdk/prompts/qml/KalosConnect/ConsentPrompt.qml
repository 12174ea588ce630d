import QtQuick

// Asks for location consent over the scene it is in. Give it the QmlPrompter and all the room there is:
//
//     ConsentPrompt { anchors.fill: parent; z: 1000; prompter: myPrompter }
//
// It is visible only while there is a question. Hiding it, closing its window or destroying it dismisses the question.
FocusScope {
    id: prompt
    property QtObject prompter: null
    property real textScale: 1 // 2 is a text size of 200 %
    readonly property QtObject question: prompter ? prompter.question : null
    readonly property bool night: prompter !== null && (prompter.theme === "night"
        || (prompter.theme === "auto" && Qt.styleHints.colorScheme === Qt.ColorScheme.Dark))
    property QtObject shown: null
    property Item before: null

    visible: question !== null
    onQuestionChanged: open()
    onVisibleChanged: open()
    Window.onWindowChanged: open()
    Component.onCompleted: open()
    Component.onDestruction: close()

    function open() {
        const onScreen = visible && Window.window !== null && Window.window.visible
        if (shown !== null && (shown !== question || !onScreen))
            close()
        if (question === null || !onScreen || shown === question)
            return
        shown = question
        before = Window.activeFocusItem
        page.setSource("ConsentPage.qml", { prompt: prompt, question: question, content: question.content })
    }

    function close() {
        const left = shown
        shown = null
        page.source = ""
        if (left !== null)
            left.dismiss() // of no effect when it was answered
        if (before !== null)
            before.forceActiveFocus()
        before = null
    }

    Connections {
        target: prompt.Window.window
        function onVisibleChanged() { prompt.open() }
    }
    Loader {
        id: page
        anchors.fill: parent
        focus: true
        onLoaded: {
            item.begin()
            prompt.shown.seen()
        }
    }
}
